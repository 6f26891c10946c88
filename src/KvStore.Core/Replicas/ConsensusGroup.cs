using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// A replica's part in its Raft group: everything that hangs on the RaftNode, and who may speak to it. It exists only once the view has told who the members are as of the applied index: a RaftNode that
/// began with others could elect itself among replicas that were removed long ago.
/// </summary>
internal sealed class ConsensusGroup
{
    /// <summary>A late replica asks for the state again after so many ticks: pages take their time.</summary>
    private const int LateAskTicks = 20;

    private readonly ReplicaParts _parts;
    private readonly ConsensusDriver _consensus;
    private readonly SnapshotSender _sender;
    private readonly SnapshotReceiver _receiver;
    private long _leaderHeardMs;
    private int _lateTicks;
    private ReplicaId _refusedBy;
    private ulong _agreedOffer;

    public ConsensusGroup(in ReplicaParts parts, RecoveredReplica recovered, Random random)
    {
        _parts = parts;
        _leaderHeardMs = parts.Clock.NowMs;
        Raft = new RaftNode(parts.Options.Raft, parts.Descriptor.Self.Replica, parts.Places.Members.Config, RecoveredLog.Read(recovered), random);
        _consensus = new ConsensusDriver(parts.Descriptor, parts.Places, Raft, parts.Storage, parts.Transport, parts.LostWrites);
        Switch = new RegimeSwitch(parts.Clock, Raft, parts.Places, parts.View, parts.Regimes, parts.Completions);
        Closing = new ClosingDialogue(
            parts.Descriptor, parts.Places, parts.Peers, parts.Clock, Raft, parts.Storage, parts.Transport, parts.View, parts.Regimes, Switch, parts.StateMachine);
        Switch.CanAdopt = Closing.Stands;
        Switch.IsReadyToClose = () => Closing.Engine is { IsRecovering: false } engine && engine.DataSum() is not null;
        Membership = new ShardMembership(parts.Options, parts.Clock, Raft, parts.Places, parts.Storage, parts.Completions);
        var reader = new ViewReader(parts.Regimes, parts.StateMachine, parts.Options, parts.Storage, parts.View, parts.Loader, parts.Completions, parts.Clock, EstimateStalenessMs);
        var expirer = new OrderedExpirer(parts.Regimes, Switch, parts.Expiries, parts.ExpiryScan, parts.Storage, parts.Loader, parts.Clock, Raft);
        Ordered = new OrderedEngine(parts, _consensus, Switch, Membership, reader, expirer);
        _sender = new SnapshotSender(parts.Descriptor, parts.Regimes, parts.StateMachine, parts.Places, parts.Options, Raft, parts.Storage, parts.Transport);
        _receiver = new SnapshotReceiver(parts.Descriptor, parts.Regimes, Switch, parts.StateMachine, parts.Places, Raft, parts.Storage, parts.Transport, parts.View)
        {
            BeforeSwitch = BeforeSwitch,
            Skipping = () => Skipping(),
        };
        parts.LostWrites.Replay(recovered.Records, Raft.Term);

        // Entries that are not applied yet may name replicas that are heard before.
        foreach (Entry entry in Raft.EntriesAbove(Raft.AppliedIndex).Span)
        {
            if (entry.Kind == EntryKind.Configuration)
            {
                parts.Places.Hear(MembershipEntry.Decode(entry.Payload).Context);
            }
        }
    }

    public RaftNode Raft { get; }

    public OrderedEngine Ordered { get; }

    public ShardMembership Membership { get; }

    public RegimeSwitch Switch { get; }

    public ClosingDialogue Closing { get; }

    /// <summary>What the replica has beside the log is to be saved before the view is replaced by one that accounts for these dots and stands at this index. Then go on.</summary>
    public Action<ReadOnlyMemory<byte>, LogIndex, Action> SaveUnaccounted { get; set; } = (_, _, then) => then();

    public bool IsLeader => Raft.State == RaftRole.Leader;

    public NodeId LeaderNode => Raft.Leader.IsNone ? default : _parts.Places.NodeOf(Raft.Leader);

    /// <summary>The group has fallen silent and nothing of it is under way here.</summary>
    public bool IsQuiet => Raft.IsQuiet && !Raft.HasReady && IsFreeOfSnapshots && Ordered.Expirer.IsQuiet;

    /// <summary>When this replica was last in contact with a leader, on the loop's monotonic clock. A quiet group has agreed that it is, and is woken as soon as that may not be so any more.</summary>
    public long LeaderContactMs => Raft.IsQuiet ? _parts.Clock.NowMs : _leaderHeardMs;

    public bool WaitsForDurable => _consensus.WaitsForDurable;

    public int PendingCount => Ordered.PendingCount + Membership.PendingCount + Switch.PendingCount;

    /// <summary>The members as this replica knows them; what only a leader knows is empty elsewhere.</summary>
    public static ImmutableArray<MemberStatus> Describe(ShardMembers members, RaftNode? raft)
    {
        ImmutableArray<ProgressStatus> progress = raft?.DescribeProgress() ?? [];
        return
        [
            .. members.Config.Members.Select(id =>
            {
                ProgressStatus known = progress.FirstOrDefault(each => each.Id == id);
                return new MemberStatus(
                    new ReplicaPlace(members.NodeOf(id), id),
                    members.Config.Voters.Contains(id),
                    members.Config.OutgoingVoters.Contains(id),
                    members.Config.Learners.Contains(id),
                    known.Match,
                    known.RecentlyActive);
            }),
        ];
    }

    /// <summary>A message for this replica that isn't about its own removal.</summary>
    public void Receive(NodeId from, in RaftMessage message)
    {
        if (!_parts.Places.TryHear(message.From, from))
        {
            TellIfRemoved(from, message.From);
            return;
        }

        if (message.Kind == RaftMessageKind.SnapshotResponse)
        {
            _sender.OnAnswer(message);
            return;
        }

        if (!_parts.Regimes.IsOrdered && message.Commit > Raft.LastIndex && message.Kind == RaftMessageKind.Heartbeat)
        {
            // This replica came back without its disk. The leader remembers more of it than there is; the next leader will not. The group orders no data here, so nothing is at stake meanwhile.
            return;
        }

        Raft.MayRest = MayRest(IsLeader ? _parts.Descriptor.Self.Replica : message.From);
        Raft.Step(message);
        if (message.From == Raft.Leader)
        {
            _leaderHeardMs = _parts.Clock.NowMs;
        }

        NoteContact();
    }

    /// <summary>The failure detector has news of a node, or a connection to it broke. What it says wakes a quiet group; it decides nothing.</summary>
    public void OnNewsOf(NodeId node, bool reachable)
    {
        bool leads = node == LeaderNode;
        if (leads && !reachable)
        {
            Raft.OnLeaderUnreachable();
        }
        else if (leads || IsLeader)
        {
            Raft.Wake();
        }
    }

    public void Receive(NodeId from, in SnapshotPage page)
    {
        if (_parts.Places.TryHear(page.From, from))
        {
            _receiver.OnPage(page);
            _parts.View.IsReplacing = _receiver.IsReplacing;
        }
    }

    public bool OnScanned(ScanPage page) => _sender.OnScanned(page);

    /// <summary>A snapshot has replaced the view; its Meta space was not read yet.</summary>
    public void OnViewReplaced() => Ordered.OnSnapshotInstalled();

    /// <summary>The members that a snapshot brought are known: Raft may go on from it.</summary>
    public void OnInstalled(ShardMembers members)
    {
        Membership.Restore(members);
        bool replaced = _receiver.IsReplacing;
        if (replaced)
        {
            _parts.LostWrites.AfterSwitch(_parts.StateMachine);
        }

        _receiver.OnInstalled();
        Switch.OnSkipped();
        if (!replaced)
        {
            Skipped();
        }
    }

    /// <summary>The log is about to be skipped into an open period; <see cref="Skipped"/> follows when that is durable.</summary>
    public Action Skipping { get; set; } = () => { };

    /// <summary>The log was skipped into an open period, durably.</summary>
    public Action Skipped { get; set; } = () => { };

    /// <summary>A replica of this shard wants the state, whatever its log has. It says which it is: a node whose disk was lost has two among the members, until the new one has taken the old one's place.</summary>
    public void OnSnapshotWanted(NodeId from, ReadOnlyMemory<byte> payload)
    {
        var wanting = new ReplicaId(new BinaryCursor(payload).ReadVarInt());
        ReplicaPlace place = _parts.Places.Members.Places.FirstOrDefault(each => each.Node == from && each.Replica == wanting);
        if (IsLeader && !Switch.IsLate && !place.Replica.IsNone)
        {
            _sender.Want(place.Replica);
        }
    }

    /// <summary>A replica that is late asks its leader for the state; one that leads by chance lets another lead, because nobody would send it any.</summary>
    private void AskForState()
    {
        if (!Switch.IsLate || ++_lateTicks % LateAskTicks != 1)
        {
            return;
        }

        if (IsLeader)
        {
            ReplicaId other = _parts.Places.Members.Config.Voters.FirstOrDefault(voter => voter != Raft.Self && _parts.Peers.IsReachable(_parts.Places.NodeOf(voter)) && voter != _refusedBy);
            _refusedBy = other;
            if (!other.IsNone)
            {
                Raft.TransferLeadership(other);
            }
        }
        else if (!LeaderNode.IsNone && !_receiver.IsCommitting)
        {
            Span<byte> self = stackalloc byte[VarInt.SizeOf(_parts.Descriptor.Self.Replica.Value)];
            VarInt.Write(self, _parts.Descriptor.Self.Replica.Value);
            _parts.Transport.Send(_parts.Descriptor.Shard, LeaderNode, DottedMessageKind.SnapshotWanted, self);
        }
    }

    private void BeforeSwitch(ReadOnlyMemory<byte> accounted, LogIndex index, bool keepsLog, Action then)
    {
        _parts.View.IsReplacing = true;
        SaveUnaccounted(accounted, index, () =>
        {
            _parts.LostWrites.BeforeSwitch(keepsLog ? [] : Raft.EntriesAbove(Raft.CommitIndex).Span, _parts.View.Applied);
            _parts.Overlay.BeforeSwitch();
            _parts.Loader.Hold();
            then();
        });
    }

    public void Tick()
    {
        Raft.MayRest = MayRest(Raft.Leader);
        Raft.Tick();
        NoteContact();
        Ordered.OnTick();
        Membership.OnTick();
        Switch.OnTick();
        Closing.OnTick();
        AskForState();
        _sender.OnTick();
        _receiver.OnTick();
        if (_receiver.HasSkipped)
        {
            Ordered.OnSnapshotInstalled();
            OnInstalled(_receiver.SkippedMembers ?? _parts.Places.Members);
        }
    }

    public void TickQuiet(int ticks)
    {
        Raft.MayRest = MayRest(Raft.Leader);
        Raft.TickQuiet(ticks);
        Ordered.Expirer.OnTick();
    }

    public void Turn()
    {
        Ordered.Turn(_sender);
        Closing.Step();
        if (_sender.WantsToBegin && !Switch.IsLate)
        {
            _parts.View.Seal();
            _sender.Begin(_parts.View.Position);
        }
    }

    public void OnMembersChanged() => _sender.OnMembersChanged();

    /// <summary>Drops applied entries from memory, but for a tail for followers that lag.</summary>
    public void Compact()
    {
        ulong applied = _parts.View.Applied.Value;
        ulong keep = (ulong)_parts.Options.KeepEntries;
        if (applied > keep && applied - keep >= Raft.FirstIndex.Value + (ulong)_parts.Options.CompactStep)
        {
            Raft.Compact(new LogIndex(applied - keep));
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        Ordered.FailAll(code, reason);
        Membership.Fail(code, reason);
        Switch.Fail(code, reason);
    }

    /// <summary>Who was removed and missed it would campaign for ever. Ids are never used again, so the news can't be out of date.</summary>
    private void TellIfRemoved(NodeId node, ReplicaId replica)
    {
        if (_parts.Places.Members.Retired.Contains(replica))
        {
            _parts.Transport.Send(
                _parts.Descriptor.Shard, node, new RaftMessage { Kind = RaftMessageKind.Removed, From = _parts.Descriptor.Self.Replica, To = replica, Term = Raft.Term });
        }
    }

    private bool IsFreeOfSnapshots => _sender.IsIdle && !_receiver.IsCommitting;

    /// <summary>Whether the group may fall silent as far as this replica can tell: no caller waits for it, and the nodes that would have to be missed are known as up.</summary>
    private bool MayRest(ReplicaId leader) =>
        PendingCount == 0
        && IsFreeOfSnapshots
        && !_parts.View.IsReplacing
        && _parts.Regimes.Current.Kind != RegimeKind.Closing
        && !Switch.IsLate
        && (leader == _parts.Descriptor.Self.Replica ? _parts.Peers.AllKnownUp : !leader.IsNone && _parts.Peers.IsKnownUp(_parts.Places.NodeOf(leader)));

    /// <summary>A leader knows that it misses nothing as long as a quorum answers it; in a quiet group it knew that when all agreed last.</summary>
    private void NoteContact()
    {
        if (Raft.HasQuorumContact || Raft.AgreedOffer != _agreedOffer)
        {
            _agreedOffer = Raft.AgreedOffer;
            _leaderHeardMs = _parts.Clock.NowMs;
        }
    }

    /// <summary>
    /// How old the view may be: the time since the last message of the group that came from its leader, or from a quorum to its leader, or since a quorum has confirmed what is applied here, whichever is
    /// less. The time that a message was under way is not known, and the leader that sent it may have been deposed: it is an estimate, and no bounded read relies on it. That the leader's node is alive
    /// counts for nothing: in a quiet group the estimate grows to the interval of the renewals, a few seconds, even though nothing was written.
    /// </summary>
    private uint EstimateStalenessMs(ReadLevel level) =>
        level == ReadLevel.Bounded ? Ordered.ConfirmedStalenessMs
        : Raft.HasQuorumContact ? 0
        : Math.Min((uint)Math.Clamp(_parts.Clock.NowMs - _leaderHeardMs, 0, uint.MaxValue), Ordered.ConfirmedStalenessMs);
}

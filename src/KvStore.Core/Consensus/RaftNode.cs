using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// One member of one Raft group: a state machine without I/O, clock or threads, in the shape of etcd's raft with asynchronous storage. It is driven by <see cref="Tick"/>,
/// <see cref="Step"/> and the proposals and reads of its host, and says in a <see cref="Ready"/> what it wants done.
/// </summary>
/// <remarks>
/// Raft: Ongaro and Ousterhout, USENIX ATC 2014; pre-vote, leadership transfer, check-quorum and read index: Ongaro's thesis, 2014.
/// </remarks>
public sealed class RaftNode
{
    private readonly RaftState _state;
    private readonly Roles _roles;
    private readonly Leadership _leadership;
    private readonly Followership _followership;
    private readonly Quiescence _quiescence;
    private readonly Random _random;
    private readonly Ready _ready = new();
    private HardState _lastHardState;
    private LeadershipChange _lastLeadership;

    /// <param name="options">Timing and limits; validated here.</param>
    /// <param name="self">This replica. It may be missing from <paramref name="members"/>; then it follows but never campaigns.</param>
    /// <param name="members">The group as of <see cref="RaftRecoveredState.Applied"/>.</param>
    /// <param name="recovered">What was found on the disk; <see cref="RaftRecoveredState.Empty"/> for a replica that never ran.</param>
    /// <param name="random">Draws election timeouts and the first of the numbers that must not meet those of an earlier life.</param>
    public RaftNode(RaftOptions options, ReplicaId self, MembershipConfig members, RaftRecoveredState recovered, Random random)
    {
        _random = random;
        _state = new RaftState(options, self, members, recovered, random);
        _leadership = new Leadership(_state);
        _quiescence = new Quiescence(_state, _leadership);
        _followership = new Followership(_state, _quiescence);
        _roles = new Roles(_state, new Election(_state), _leadership, _followership, _quiescence);
        _lastHardState = recovered.HardState with { Commit = _state.Commit };
        _lastLeadership = new LeadershipChange(default, _state.Term, RaftRole.Follower);
    }

    public ReplicaId Self => _state.Self;

    /// <summary>The configuration in force: that of the last one applied.</summary>
    public MembershipConfig Members => _state.Members;

    public RaftRole State => _state.Role;

    public Term Term => _state.Term;

    /// <summary>The leader of this term, or none if it isn't known.</summary>
    public ReplicaId Leader => _state.Leader;

    public LogIndex CommitIndex => _state.Commit;

    public LogIndex AppliedIndex => _state.Applied;

    public LogIndex FirstIndex => _state.Log.FirstIndex;

    public LogIndex LastIndex => _state.Log.LastIndex;

    public Term LastTerm => _state.Log.LastTerm;

    /// <summary>What the last <see cref="Ready"/> left to be remembered; see <see cref="Ready.HardState"/>.</summary>
    public HardState HardState => _state.HardState;

    /// <summary>The own log is durable up to here.</summary>
    public LogIndex StableIndex => _state.Persist.Stable;

    /// <summary>
    /// This replica leads, and a quorum answered it in this term within the shortest election timeout: the condition for acknowledging early. Not enough for a linearizable read.
    /// </summary>
    public bool HasQuorumContact => _state.IsLeader && !_state.IsQuiet && _leadership.HasQuorumContact;

    /// <summary>This replica leads and is handing that over: no proposals are taken until another leads, or it is given up.</summary>
    public bool IsTransferring => _state.IsLeader && _leadership.IsTransferring;

    /// <summary>
    /// The group has fallen silent and this replica with it: <see cref="TickQuiet"/> takes the place of <see cref="Tick"/>. Elections are suppressed, so the host must call <see cref="Wake"/> or
    /// <see cref="OnLeaderUnreachable"/> when its failure detector has news of a member's node. Nothing else is: leadership of a quiet group is proven anew by a round before it is relied on.
    /// </summary>
    public bool IsQuiet => _state.IsQuiet;

    /// <summary>Leader: grows whenever all members have agreed to an offer to fall silent, or to stay so. Each such moment was a contact with all of them.</summary>
    public ulong AgreedOffer => _quiescence.AgreedOffer;

    /// <summary>
    /// The host's consent to falling silent, to be set before each tick and message: nobody waits for this replica, and the nodes concerned (a leader's members, a follower's leader) are known as up.
    /// </summary>
    public bool MayRest
    {
        set => _quiescence.Permitted = value;
    }

    /// <summary>Whether <see cref="TakeReady"/> would hand out committed entries now.</summary>
    public bool NextEntriesAvailable => _state.Installing is null && !_state.HoldsApply && !_state.Quarantine.LogIsVoid && _state.HandedToApply == _state.Applied && _state.Commit > _state.Applied;

    /// <summary>Since <see cref="Quarantine"/>, until the replica has again all that it can have acknowledged before.</summary>
    public bool IsQuarantined => _state.Quarantine.IsActive;

    public bool IsInstallingSnapshot => _state.Installing is not null;

    public bool HasReady => !_state.Out.IsEmpty
        || _state.Persist.HandedOut < _state.Log.LastIndex
        || _state.HardState != _lastHardState
        || NextEntriesAvailable
        || CurrentLeadership != _lastLeadership
        || (_state.IsLeader && _leadership.HasWork);

    private LeadershipChange CurrentLeadership => new(_state.Leader, _state.Term, _state.Role);

    public TermLookup TermAt(LogIndex index) => _state.Log.TermAt(index);

    /// <summary>The entries above <paramref name="index"/>; it must not lie below the log's boundary. Valid until the next call.</summary>
    public ReadOnlyMemory<Entry> EntriesAbove(LogIndex index) => _state.Log.Slice(index.Next, _state.Log.LastIndex);

    /// <summary>What the leader knows of each member; empty elsewhere. For status pages: allocates.</summary>
    public ImmutableArray<ProgressStatus> DescribeProgress() => _state.IsLeader ? _leadership.Describe() : [];

    /// <summary>One tick has passed.</summary>
    public void Tick() => _roles.Tick();

    /// <summary>So many ticks have passed for a quiet replica. Needs no precision: it serves the renewals, which are seconds apart.</summary>
    public void TickQuiet(int ticks)
    {
        if (_state.IsQuiet)
        {
            _quiescence.TickQuiet(ticks);
        }
    }

    /// <summary>Something happened that may concern a quiet replica: the node of a member was lost, is back, or has restarted. Always safe.</summary>
    public void Wake() => _quiescence.Wake();

    /// <summary>The leader's node is down or hears this one no more, by the host's failure detector. In an awake group this says nothing that the group's own messages don't.</summary>
    public void OnLeaderUnreachable() => _quiescence.OnLeaderUnreachable();

    /// <summary>Starts an election now, by a pre-vote, as if the timeout had passed. Nothing happens at a leader; a replica that may not campaign only gives its leader up.</summary>
    public void Campaign() => _roles.Campaign();

    /// <summary>A message has come; any number of times, in any order, however late.</summary>
    public void Step(in RaftMessage message)
    {
        if (message.To == _state.Self)
        {
            _roles.Step(message);
        }
    }

    /// <summary>
    /// Puts a command into the leader's log, in memory. Proposals between two Readys travel together. The payload must never be written to again.
    /// </summary>
    public ProposeResult Propose(ReadOnlyMemory<byte> payload, out Term term, out LogIndex index)
    {
        term = _state.Term;
        if (_state.IsLeader)
        {
            _quiescence.Stir();
            return _leadership.Propose(payload, out index);
        }

        index = default;
        return ProposeResult.NotLeader;
    }

    /// <summary>
    /// Asks the group to become <paramref name="target"/>: which must not be joint, and whose new voters must be learners that have caught up. If the voters differ in more than one id, the
    /// entry holds a joint configuration, and the leader that applies it proposes by itself to leave it, with the same context. <paramref name="context"/> is the host's and is copied.
    /// Ids that were ever removed must not be named again.
    /// </summary>
    public ProposeResult ProposeMembership(MembershipConfig target, ReadOnlyMemory<byte> context, out Term term, out LogIndex index)
    {
        term = _state.Term;
        if (_state.IsLeader)
        {
            _quiescence.Stir();
            return _leadership.ProposeMembership(target, context, out index);
        }

        index = default;
        return ProposeResult.NotLeader;
    }

    /// <summary>
    /// The host applies this committed <see cref="EntryKind.Configuration"/> entry: it takes effect here. Called once for each of them, in order, before <see cref="OnApplied"/> covers it.
    /// A leader that is no voter any more steps down.
    /// </summary>
    /// <exception cref="Versioning.MalformedRecordException">The payload is no configuration: this replica must stop.</exception>
    public void ApplyMembership(in Entry entry)
    {
        Invariant.Assert(entry.Kind == EntryKind.Configuration);
        Invariant.Assert(entry.Index > _state.Applied && entry.Index <= _state.HandedToApply);
        MembershipEntry decoded = MembershipEntry.Decode(entry.Payload);
        _state.OnMembership(decoded.Config, decoded.Context, entry.Index);
        _roles.OnMembership();
    }

    /// <summary>
    /// Asks from which index on a read would be linearizable. If accepted, exactly one <see cref="ReadState"/> with this context follows, possibly an aborted one. Waits until the leader has
    /// committed an entry of its own term. A follower or learner that knows its leader asks that one; lost messages abort the read after <see cref="RaftOptions.ElectionTicksMax"/> ticks.
    /// </summary>
    public ReadResult ReadIndex(ulong context)
    {
        _quiescence.Stir();
        return _state.IsLeader ? _leadership.Read(context) : _followership.Read(context);
    }

    /// <summary>
    /// Hands leadership to another voter: no proposals are taken until it leads or the longest election timeout has passed. Returns false if this isn't the leader, the target is no other voter, or
    /// a transfer is under way.
    /// </summary>
    public bool TransferLeadership(ReplicaId to)
    {
        if (!_state.IsLeader)
        {
            return false;
        }

        _quiescence.Stir();
        return _leadership.BeginTransfer(to);
    }

    /// <summary>
    /// The storage of this replica was found damaged: entries or parts of the view that it had are gone, while its term and vote are not (a replica that lost those needs a new id). It steps
    /// down, and doesn't vote, campaign, acknowledge, read or apply until a leader has repaired it by a snapshot and all entries that it may have acknowledged. The host keeps a durable mark, from
    /// before it calls this until <see cref="IsQuarantined"/> is false and all that was handed out by then is durable, and calls it again after a restart while the mark is there.
    /// </summary>
    public void Quarantine()
    {
        _quiescence.Wake();
        _roles.Quarantine((ulong)_random.NextInt64(1, long.MaxValue));
    }

    /// <summary>Hands out everything that waits. See <see cref="Ready"/> for what to do with it, and in what order.</summary>
    public Ready TakeReady()
    {
        _ready.Clear();
        if (_state.IsLeader)
        {
            _quiescence.BeforeReady();
            _leadership.Flush();
        }

        _ready.Out = _state.ChangeOutbox(_ready.Out);
        HandOutForPersist();
        HandOutForApply();
        if (CurrentLeadership != _lastLeadership)
        {
            _lastLeadership = CurrentLeadership;
            _ready.LeadershipChanged = _lastLeadership;
        }

        return _ready;
    }

    /// <summary>
    /// The entries of a Ready that ended with this one are durable, and so is all that was handed out before. Called in the order of the Readys.
    /// An acknowledgement of entries that were replaced meanwhile counts only for what is still in the log.
    /// </summary>
    public void OnPersisted(LogIndex lastIndex, Term lastTermOfThatEntry)
    {
        if (_state.Persist.OnPersisted(lastIndex, lastTermOfThatEntry) && _state.IsLeader)
        {
            _leadership.OnStable(_state.Persist.Stable);
        }
    }

    /// <summary>The state machine has applied everything up to here.</summary>
    public void OnApplied(LogIndex index)
    {
        _state.OnApplied(index);
        _roles.OnApplied();
    }

    /// <summary>
    /// The state machine can't apply the next entry, and what was handed out is taken back: nothing more is handed out until a snapshot of the state has come (<see cref="OnStateReplaced"/>, or one that
    /// replaces the log as well). The log goes on; this replica votes, acknowledges, and may even lead.
    /// </summary>
    public void HoldApply() => _state.HoldApply();

    /// <summary>
    /// Follower: the state was replaced by one that stands at a committed index of this replica's own log, which stays. What it was held back at is in it.
    /// </summary>
    public void OnStateReplaced(LogIndex index, MembershipConfig members, ReadOnlyMemory<byte> membersContext = default)
    {
        _state.OnStateReplaced(index, members, membersContext);
        _roles.OnMembership();
        _roles.OnApplied();
    }

    /// <summary>
    /// Drops entries at or below <paramref name="upTo"/> from memory, but none that isn't applied or whose durability isn't known. The caller leaves a tail, so that a follower that is
    /// only a little behind needs no snapshot. Returns the boundary.
    /// </summary>
    public LogIndex Compact(LogIndex upTo)
    {
        LogIndex limit = LogIndex.Min(upTo, LogIndex.Min(_state.Applied, _state.Persist.Stable));
        if (limit > _state.Log.BoundaryIndex)
        {
            _state.Log.CompactTo(limit);
        }

        return _state.Log.BoundaryIndex;
    }

    /// <summary>Leader: all pages of a snapshot that stands at <paramref name="index"/> were sent. The follower's answer decides what follows.</summary>
    public void ReportSnapshotSent(ReplicaId to, LogIndex index)
    {
        if (_state.IsLeader)
        {
            _leadership.ReportSnapshot(to, index, sent: true);
        }
    }

    /// <summary>Leader: the snapshot did not get there. It is asked for again when the follower is heard.</summary>
    public void ReportSnapshotFailed(ReplicaId to, LogIndex index)
    {
        if (_state.IsLeader)
        {
            _leadership.ReportSnapshot(to, index, sent: false);
        }
    }

    /// <summary>
    /// Follower: whether a snapshot of a leader of <paramref name="term"/>, standing at <paramref name="index"/>, would bring this replica forward. Changes nothing.
    /// If not, <see cref="RefuseSnapshot"/> tells the leader why.
    /// </summary>
    public bool WouldAcceptSnapshot(ReplicaId from, Term term, LogIndex index, Term indexTerm) =>
        from != _state.Self && _followership.WouldAcceptSnapshot(term, index, indexTerm);

    /// <summary>Follower: tells the sender of an unwanted snapshot what is here already.</summary>
    public void RefuseSnapshot(ReplicaId from, LogIndex index, Term indexTerm)
    {
        if (!_state.IsLeader)
        {
            _followership.RefuseSnapshot(from, index, indexTerm);
        }
    }

    /// <summary>
    /// Follower: all pages are here and the switch to the snapshot begins. Returns false, and changes nothing, if it would no longer be accepted: appends may have overtaken it. Until
    /// <see cref="OnSnapshotInstalled"/> the replica doesn't campaign, takes no entries and hands out none to apply.
    /// </summary>
    public bool BeginSnapshotInstall(ReplicaId from, Term messageTerm, LogIndex index, Term indexTerm)
    {
        if (!WouldAcceptSnapshot(from, messageTerm, index, indexTerm) || _state.HandedToApply != _state.Applied)
        {
            return false;
        }

        _quiescence.Wake();

        if (messageTerm > _state.Term || _state.Role != RaftRole.Follower)
        {
            _roles.BecomeFollower(messageTerm, from);
        }

        _state.HeardFromLeader(from);
        _state.Installing = index;
        return true;
    }

    /// <summary>
    /// Follower: the snapshot is durable. The log restarts behind it: every entry that was in the log before is void, on the disk too. The leader is answered with the next Ready.
    /// </summary>
    /// <param name="index">Where the snapshot stands.</param>
    /// <param name="term">The term of the entry there.</param>
    /// <param name="from">The leader that sent it.</param>
    /// <param name="messageTerm">The term in which it was sent.</param>
    /// <param name="members">The configuration at <paramref name="index"/>, joint or not, whatever this replica's part in it: an outgoing voter or a learner needs the snapshot as much (raft-rs#416).</param>
    /// <param name="membersContext">If it is joint: its context.</param>
    public void OnSnapshotInstalled(LogIndex index, Term term, ReplicaId from, Term messageTerm, MembershipConfig members, ReadOnlyMemory<byte> membersContext = default)
    {
        Invariant.Assert(_state.Installing == index);
        Invariant.Assert(messageTerm <= _state.Term);
        _state.OnMembership(members, membersContext, index);
        _followership.OnSnapshotInstalled(index, term, from);
    }

    private void HandOutForPersist()
    {
        HardState hardState = _state.HardState;
        if (hardState != _lastHardState)
        {
            _ready.MustSync = hardState.Term != _lastHardState.Term || hardState.Vote != _lastHardState.Vote;
            _ready.HardState = hardState;
            _lastHardState = hardState;
        }

        if (_state.Persist.HandedOut < _state.Log.LastIndex)
        {
            _ready.EntriesToPersist = _state.Log.Slice(_state.Persist.HandedOut.Next, _state.Log.LastIndex);
            _state.Persist.OnHandedOut(_state.Log.LastIndex, _state.Log.LastTerm);
            _ready.MustSync = true;
        }
    }

    private void HandOutForApply()
    {
        if (NextEntriesAvailable)
        {
            _ready.Committed = _state.Log.SliceOfBytes(_state.Applied.Next, _state.Commit, _state.Options.MaxCommittedBytesPerReady, out _);
            _state.OnHandedToApply(_state.Applied + (ulong)_ready.Committed.Length);
        }
    }
}

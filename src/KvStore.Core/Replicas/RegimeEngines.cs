using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Replicas.Watching;

namespace KvStore.Core.Replicas;

/// <summary>
/// The engines of one replica, and which of them serves an operation: the ordered one of its group, the open one of an open period, or, beside the ordered one, the provisional one of an adaptive keyspace.
/// </summary>
internal sealed class RegimeEngines
{
    private readonly ReplicaParts _parts;
    private readonly Random _random;
    private readonly HandIn _handIn;
    private ProvisionalAfter _provisionalAfter;

    public RegimeEngines(in ReplicaParts parts, Random random)
    {
        _parts = parts;
        _random = random;
        _provisionalAfter = parts.Descriptor.ProvisionalAfter;
        _handIn = new HandIn(parts.Descriptor, parts.Regimes, parts.Options, parts.Clock, parts.Overlay, parts.StateMachine.Accounted, parts.Transport);
        Periods = new OpenPeriods(parts, random);
        Watch = parts.Feed is { } feed ? new ReplicaWatch(parts, feed) : null;
        Sessions = new SessionGate(parts.Descriptor, parts.Regimes, parts.Options, parts.Clock, parts.View, parts.Completions, Serve)
        {
            FindDotted = () => Open?.Dotted,
            DotsFor = operation => Provisional?.Takes(operation) == true ? _parts.Overlay.Known() : _parts.StateMachine.Accounted.Clock,
            OverlayChanges = () => _parts.Overlay.Changes,
        };
    }

    public OpenPeriods Periods { get; }

    /// <summary>Null where changes are not noted.</summary>
    public ReplicaWatch? Watch { get; }

    /// <summary>Where operations wait for what their session has seen; those that have passed come to <see cref="Serve"/>.</summary>
    public SessionGate Sessions { get; }

    /// <summary>Null until <see cref="Begin"/>.</summary>
    public ConsensusGroup? Group { get; private set; }

    /// <summary>Only an adaptive keyspace that is ordered has one.</summary>
    public ProvisionalEngine? Provisional { get; private set; }

    /// <summary>Only an open shard has one.</summary>
    public OpenEngine? Open => Periods.Engine;

    public int PendingCount => (Group?.PendingCount ?? 0) + (Open?.PendingCount ?? 0) + (Provisional?.PendingCount ?? 0) + Sessions.Count;

    /// <summary>Something waits until the log is durable.</summary>
    public bool WaitsForDurable => (Group?.WaitsForDurable ?? false) || (Open?.WaitsForDurable ?? false) || _parts.Overlay.WaitsForDurable;

    /// <summary>Nothing is under way in the group, in any engine, or between two regimes.</summary>
    public bool IsQuiet => Group!.IsQuiet && PendingCount == 0 && !WaitsForDurable && !IsChanging && !_handIn.HasWork && (Open?.IsQuiet ?? true) && (Provisional?.IsQuiet ?? true);

    /// <summary>Something of a change of regime is under way here.</summary>
    private bool IsChanging => Periods.IsOpening || _parts.Regimes.Current.Kind == RegimeKind.Closing || Group!.Switch.IsLate;

    /// <summary>The view has told who the members are.</summary>
    public void Begin(RecoveredReplica recovered)
    {
        Group = new ConsensusGroup(_parts, recovered, _random);
        Group.Membership.Changed = OnMembersChanged;
        Group.Membership.HasCopiedData = node => Open?.IsWhole(node) ?? true;
        Group.Membership.HasHandedOver = node => Open?.HasAllOf(node) ?? true;
        Group.Membership.IsClosing = () => _parts.Regimes.Current.Kind == RegimeKind.Closing;
        Group.Switch.Changed = OnRegimeChanged;
        Group.SaveUnaccounted = Periods.SaveUnaccounted;
        Group.Skipping = Periods.OnSkipping;
        Group.Skipped = OnSkipped;
        Periods.Group = Group;
        Sessions.Raft = Group.Raft;
        _parts.Peers.OnMembersChanged();
    }

    /// <summary>What the log has behind the view is repeated, and the engines take up their work.</summary>
    public void Resume(RecoveredReplica recovered)
    {
        Periods.Resume(recovered);
        SetProvisional();
        Watch?.Begin(Group!, Periods);
    }

    /// <summary>
    /// The node that this operation should be forwarded to: where the shard is ordered and another replica leads. None: submit it here.
    /// </summary>
    public NodeId BetterPlaceFor(in ClientOperation operation)
    {
        bool needsLeader = _parts.Regimes.IsOrdered && !(Provisional?.Takes(operation) ?? false) && (operation.IsWrite || NeedsLeader(operation));
        NodeId leader = needsLeader && !Group!.IsLeader ? Group.LeaderNode : default;
        return leader == _parts.Descriptor.Self.Node || !_parts.Peers.IsReachable(leader) ? default : leader;
    }

    /// <summary>Goes on with an operation whose session has been caught up with. The regime may have changed while it waited.</summary>
    public void Serve(ClientOperation operation)
    {
        if (operation.Epoch > _parts.Regimes.Epoch || Group!.Switch.IsLate || Group.Switch.IsSkipping || (Open is null && !_parts.Regimes.IsOrdered))
        {
            _parts.Completions.Refuse(operation, RefusalCode.Switching, "The keyspace has changed its mode, and this replica is not that far yet; try again in a moment, or ask another one.");
        }
        else if (Open is null)
        {
            SubmitOrdered(operation);
        }
        else if (!operation.IsWrite || operation.Epoch.Value == 0 || operation.Epoch == _parts.Regimes.Epoch || !Group.Ordered.TryAnswerRepeated(operation))
        {
            Open.Submit(operation);
        }
    }

    /// <summary>A message of a peer that isn't about the log: each goes to the engine or the exchange that it is for.</summary>
    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        if (kind == DottedMessageKind.SnapshotWanted)
        {
            Group!.OnSnapshotWanted(from, payload);
        }
        else if (kind is >= DottedMessageKind.ReportWanted and <= DottedMessageKind.BaselineHeld)
        {
            Group!.Closing.Receive(from, kind, payload);
        }
        else if (kind is DottedMessageKind.HandIn or DottedMessageKind.HandInDone)
        {
            if (_parts.Regimes.IsOrdered)
            {
                _handIn.OnHandedIn(kind, payload, Group!.Ordered.TryPropose);
            }
        }
        else if (kind is DottedMessageKind.OverlayShare or DottedMessageKind.OverlayShared or DottedMessageKind.OverlayKnown)
        {
            Provisional?.Receive(from, kind, payload);
        }
        else
        {
            Periods.Receive(from, kind, payload);
        }
    }

    public void OnDurable(LogPosition position)
    {
        Group!.Ordered.OnDurable(position);
        Open?.OnDurable(position);
        if (_parts.Overlay.OnDurable(position))
        {
            Provisional?.OnDurable();
        }
    }

    /// <summary>The inputs of a loop step are in: act on them.</summary>
    public void Turn()
    {
        Periods.Step();
        Sessions.Release();
        Open?.OnTurn();
        if (_parts.Regimes.IsOrdered && _handIn.HasWork && !_parts.Places.IsRemoved && !Group!.Switch.IsLate)
        {
            _handIn.Drive(Group.LeaderNode, Group.Ordered.TryPropose);
        }

        Group!.Turn();
        if (Sessions.Release())
        {
            // What was applied has let a write or a read go on that needs the group.
            Group.Turn();
        }

        Open?.OnTurnEnds();
        Watch?.OnTurnEnds();
    }

    /// <summary>Only an adaptive keyspace is served provisionally. What was written so before its mode changed is handed in all the same.</summary>
    public void SetProvisional()
    {
        bool wanted = _parts.Regimes.IsOrdered && _parts.Regimes.Current.Mode.Partition == PartitionChoice.Adaptive;
        if (!wanted)
        {
            Provisional?.FailAll(RefusalCode.Switching, "The keyspace has changed its mode; what was written provisionally is kept and merged.");
            Provisional = null;
        }
        else
        {
            Provisional ??= new ProvisionalEngine(_parts, _provisionalAfter, _random);
        }
    }

    /// <summary>For the engine that there is, and for any that a later change of the mode brings.</summary>
    public void SetProvisionalAfter(ProvisionalAfter after)
    {
        _provisionalAfter = after;
        Provisional?.SetProvisionalAfter(after);
    }

    public void StopServing() => FailAll(RefusalCode.ReplicaRemoved, "This replica was removed from its shard before it could answer.");

    public void FailAll(RefusalCode code, string reason)
    {
        Sessions.FailAll(code, reason);
        Group?.FailAll(code, reason);
        Open?.FailAll(code, reason);
        Provisional?.FailAll(code, reason);
    }

    private void SubmitOrdered(in ClientOperation operation)
    {
        if (Provisional is { } provisional && provisional.Takes(operation))
        {
            provisional.Submit(operation);
        }
        else
        {
            Group!.Ordered.Submit(operation);
        }
    }

    /// <summary>A read of an ordered shard that only a leader can answer, or answers sooner: it has what a session has seen, where this replica still waits for it.</summary>
    private bool NeedsLeader(in ClientOperation operation) =>
        (!Group!.Ordered.MayServeFromView(operation) && !Group.Ordered.MayServeAtReplica(operation))
        || (operation.Level == ReadLevel.Session && !Group.IsLeader && Sessions.WouldWait(operation));

    private void OnRegimeChanged(ShardRegime before)
    {
        Watch?.OnRegimeChanged(before);
        Periods.OnRegimeChanged(before);
        SetProvisional();
    }

    private void OnSkipped()
    {
        Periods.OnSkipped();
        SetProvisional();
        Watch?.OnViewReplaced();
    }

    private void OnMembersChanged(ShardMembers earlier)
    {
        _parts.Peers.OnMembersChanged();
        Group!.OnMembersChanged();
        Open?.OnMembersChanged(earlier);
        Provisional?.OnMembersChanged();
        if (_parts.Places.IsRemoved)
        {
            StopServing();
        }
    }
}

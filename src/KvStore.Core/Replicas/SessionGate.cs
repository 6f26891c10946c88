using KvStore.Core.Consensus;
using KvStore.Core.Eventual;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Lets an operation of a session pass when this replica has all that the session has seen. Until then the operation waits here, for a bounded time, and is looked at again in each turn in which the
/// applied index or the clock has moved. A session whose write was lost in a failover is told so: a replica never passes another history off as the one that the session saw.
/// </summary>
/// <remarks>
/// Reads: the answer comes from a state that includes the position (read your writes, monotonic reads). Writes: they are minted or proposed behind it (monotonic writes, writes follow reads). The log part
/// is checked against the applied log; for a write at the leader its unapplied tail counts too, because the write goes behind that. The dots are checked against the shard clock.
/// </remarks>
internal sealed class SessionGate(
    ShardDescriptor descriptor, RegimeState regimes, ReplicaOptions options, ReplicaClock clock, ViewState view, CompletionSink completions, Action<ClientOperation> proceed)
{
    /// <summary>Bounds the operations that wait; more are refused.</summary>
    private const int MaxWaiting = 4_096;

    private readonly List<Waiting> _waiting = [];
    private (ulong Applied, ulong Dotted) _seenAt;

    /// <summary>Set once it exists: its log says what a leader will apply before it applies another write.</summary>
    public RaftNode? Raft { get; set; }

    /// <summary>Open shards: whose clock counts.</summary>
    public required Func<DottedReplica?> FindDotted { get; init; }

    /// <summary>Ordered shards: the dots that the log accounts for, and, for an operation that is answered provisionally, those that wait to be merged.</summary>
    public required Func<ClientOperation, ShardClock> DotsFor { get; init; }

    /// <summary>Counts the changes of what waits to be merged.</summary>
    public required Func<ulong> OverlayChanges { get; init; }

    public int Count => _waiting.Count;

    private DottedReplica? Dotted => FindDotted();

    /// <summary>The longest that one has waited, in milliseconds; zero when none waits.</summary>
    public long LongestWaitMs => _waiting.Count == 0 ? 0 : clock.NowMs - _waiting[0].SinceMs;

    /// <summary>True: go on with the operation. False: it waits, or was refused.</summary>
    public bool TryPass(in ClientOperation operation)
    {
        if (!TryDecode(operation, out SessionPosition position))
        {
            completions.Refuse(operation, RefusalCode.InvalidArgument, "The session token is none of this keyspace's, or was cut: begin a new session.");
            return false;
        }

        switch (Check(position, operation))
        {
            case SessionCheck.Reached:
                return true;
            case SessionCheck.Behind when _waiting.Count < MaxWaiting:
                _waiting.Add(new Waiting(operation, position, clock.NowMs, Math.Min(operation.DeadlineMs, clock.NowMs + options.SessionWaitMs)));
                _seenAt = Stand;
                return false;
            case SessionCheck.Behind:
                completions.Refuse(operation, RefusalCode.Overloaded, "Too many operations of sessions wait on this shard; slow down and try again.");
                return false;
            default:
                RefuseLost(operation);
                return false;
        }
    }

    /// <summary>Whether an operation would have to wait here.</summary>
    public bool WouldWait(in ClientOperation operation) => TryDecode(operation, out SessionPosition position) && Check(position, operation) == SessionCheck.Behind;

    /// <summary>Once per turn: those that have been caught up with go on, in the order in which they came.</summary>
    /// <returns>Whether one did.</returns>
    public bool Release()
    {
        if (_waiting.Count == 0 || Stand == _seenAt)
        {
            return false;
        }

        _seenAt = Stand;
        bool released = false;
        Waiting[] all = [.. _waiting];
        _waiting.Clear();
        foreach (Waiting waiting in all)
        {
            switch (Check(waiting.Position, waiting.Operation))
            {
                case SessionCheck.Reached:
                    proceed(waiting.Operation);
                    released = true;
                    break;
                case SessionCheck.Behind:
                    _waiting.Add(waiting);
                    break;
                default:
                    RefuseLost(waiting.Operation);
                    break;
            }
        }

        return released;
    }

    public void OnTick()
    {
        for (int i = 0; i < _waiting.Count; i++)
        {
            if (_waiting[i].UntilMs <= clock.NowMs)
            {
                RefuseBehind(_waiting[i]);
            }
        }

        _waiting.RemoveAll(waiting => waiting.UntilMs <= clock.NowMs);
    }

    public void FailAll(RefusalCode code, string reason)
    {
        foreach (Waiting waiting in _waiting)
        {
            completions.Refuse(waiting.Operation, code, reason);
        }

        _waiting.Clear();
    }

    private (ulong Applied, ulong Dotted) Stand => (view.Applied.Value, Dotted?.Number ?? OverlayChanges());

    private static bool TryDecode(in ClientOperation operation, out SessionPosition position)
    {
        try
        {
            position = SessionPosition.Decode(operation.Session);
            return true;
        }
        catch (MalformedRecordException)
        {
            position = SessionPosition.Empty;
            return false;
        }
    }

    private SessionCheck Check(SessionPosition position, in ClientOperation operation)
    {
        bool behind = position.Epoch > regimes.Epoch;
        foreach (LogPlace place in position.Log)
        {
            PlaceCheck check = view.Terms.Check(place, view.Applied, view.AppliedTerm);
            if (check == PlaceCheck.Ahead && Raft is { State: RaftRole.Leader } leader)
            {
                check = CheckTail(leader, place, operation.IsWrite);
            }

            if (check is PlaceCheck.Replaced or PlaceCheck.Forgotten)
            {
                return SessionCheck.Lost;
            }

            behind |= check == PlaceCheck.Ahead;
        }

        // What every replica has is left out of positions, and a recovering replica may not have that: it serves sessions that have seen nothing.
        behind |= Dotted is { IsRecovering: true } && position.Epoch.Value > 0;
        // What an open period says of the log is where it began: an ordered shard of a later epoch is past that.
        behind |= !position.Seen.IsEmpty && !(Dotted is { } dotted ? dotted.Clock.Includes(position.Seen) : DotsFor(operation).Includes(position.Seen.Without(Identity.ActorId.Log)));
        return behind ? SessionCheck.Behind : SessionCheck.Reached;
    }

    /// <summary>A leader's log is what will be applied: an entry that it lacks will never be, one that it has comes before any write that is proposed now.</summary>
    private static PlaceCheck CheckTail(RaftNode leader, LogPlace place, bool isWrite) => leader.TermAt(place.Index) switch
    {
        { Outcome: TermOutcome.Known } known when known.Term != place.Term => PlaceCheck.Replaced,
        { Outcome: TermOutcome.Known } => isWrite ? PlaceCheck.Held : PlaceCheck.Ahead,
        _ => place.Index > leader.LastIndex && leader.Term > place.Term ? PlaceCheck.Replaced : PlaceCheck.Ahead,
    };

    private void RefuseLost(in ClientOperation operation) => completions.Refuse(
        operation,
        RefusalCode.SessionLost,
        "A write that this session has seen is not part of the shard's history any more: a failover lost it, or it is too long ago to tell. Read what is there, then go on with a new session.");

    private void RefuseBehind(in Waiting waiting)
    {
        string lacking = Dotted is { } dotted && !waiting.Position.Seen.IsEmpty
            ? $"{waiting.Position.Seen.CountMissingFrom(dotted.Clock)} writes that the session has seen"
            : "writes that the session has seen";
        completions.Refuse(
            waiting.Operation,
            RefusalCode.SessionBehind,
            $"The replica on {descriptor.Self.Node} still lacks {lacking}. Ask another replica or try again; if those writes were acknowledged by a single replica that is gone for good, begin a new session.");
    }

    private enum SessionCheck
    {
        Reached,
        Behind,
        Lost,
    }

    private readonly record struct Waiting(ClientOperation Operation, SessionPosition Position, long SinceMs, long UntilMs);
}

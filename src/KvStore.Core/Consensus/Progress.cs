using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>How the leader sends to one follower.</summary>
public enum ProgressState : byte
{
    /// <summary>One append at a time, to find where the logs meet.</summary>
    Probe = 0,

    /// <summary>The logs meet at match: appends are sent ahead of the answers, within the in-flight bounds.</summary>
    Replicate = 1,

    /// <summary>What the follower lacks is compacted: nothing is sent until a snapshot was installed there.</summary>
    Snapshot = 2,
}

/// <summary>
/// What the leader knows of one member. Invariants: 1. Match &lt; Next; 2. Match never decreases within a leadership, but to zero when the member reports damage; 3. in flight only in Replicate.
/// </summary>
internal sealed class Progress(ReplicaId id, RaftOptions options)
{
    public ReplicaId Id { get; } = id;

    public bool IsIncomingVoter { get; private set; }

    public bool IsOutgoingVoter { get; private set; }

    public bool IsVoter => IsIncomingVoter || IsOutgoingVoter;

    /// <summary>The follower's log is known to equal the leader's up to here, durably.</summary>
    public LogIndex Match { get; private set; }

    public LogIndex Next { get; private set; } = new(1);

    public ProgressState State { get; private set; }

    public Inflights Inflights { get; } = new(options.MaxInflightMessages, options.MaxInflightBytes);

    /// <summary>Probe: the one append is out. An answer, or a heartbeat's, allows the next.</summary>
    public bool ProbeOut { get; set; }

    /// <summary>An append must go out even if there is nothing new, to learn what the follower has.</summary>
    public bool AppendWanted { get; set; }

    /// <summary>The highest commit index that an append has told the follower.</summary>
    public LogIndex CommitTold { get; set; }

    /// <summary>The tick at which the last message of this term came. Zero: none yet.</summary>
    public ulong HeardAtTick { get; set; }

    /// <summary>The tick at which it became a voter: a leader gives it time to be heard before it misses it.</summary>
    public ulong VoterSinceTick { get; private set; }

    /// <summary>The number of the repair that the member needs, whose log was found damaged; zero if it is whole. Until it is, it counts for no quorum.</summary>
    public ulong Repair { get; private set; }

    /// <summary>The last repair that was finished.</summary>
    public ulong Repaired { get; private set; }

    /// <summary>A repair is over when the member's log reaches this: it can't have acknowledged more before its damage.</summary>
    public LogIndex RepairUntil { get; private set; }

    /// <summary>The newest read round the member has confirmed.</summary>
    public ulong ConfirmedRound { get; set; }

    /// <summary>Snapshot: the tick at which it was sent completely. Zero: it is being sent.</summary>
    public ulong SnapshotSentAtTick { get; private set; }

    /// <summary>Snapshot: the index it stands at, as far as known.</summary>
    public LogIndex SnapshotIndex { get; private set; }

    public bool HasInstalledSnapshot => SnapshotSentAtTick != 0 && Match >= SnapshotIndex;

    public bool IsPaused => State switch
    {
        ProgressState.Probe => ProbeOut,
        ProgressState.Replicate => Inflights.IsFull,
        _ => true,
    };

    /// <summary>Its part in the configuration in force.</summary>
    public void TakePart(bool incomingVoter, bool outgoingVoter, ulong tick)
    {
        if (!IsVoter && (incomingVoter || outgoingVoter))
        {
            VoterSinceTick = tick;
        }

        IsIncomingVoter = incomingVoter;
        IsOutgoingVoter = outgoingVoter;
    }

    /// <summary>A new leadership begins: nothing is known of the member.</summary>
    public void Reset(LogIndex match, LogIndex next)
    {
        Match = match;
        CommitTold = default;
        HeardAtTick = 0;
        ConfirmedRound = 0;
        AppendWanted = false;
        Repair = 0;
        Repaired = 0;
        RepairUntil = default;
        Enter(ProgressState.Probe, next);
    }

    /// <summary>The member has lost what it had: nothing is known of it any more.</summary>
    public void BeginRepair(ulong number, LogIndex until)
    {
        Repair = number;
        RepairUntil = until;
        Match = LogIndex.Zero;
        CommitTold = default;
        ConfirmedRound = 0;
        Enter(ProgressState.Probe, until.Next);
    }

    /// <summary>The member doesn't know yet that its repair is over.</summary>
    public void ResumeRepair() => Repair = Repaired;

    public void EndRepairIfWhole()
    {
        if (Repair != 0 && Match >= RepairUntil)
        {
            Repaired = Repair;
            Repair = 0;
        }
    }

    public void BecomeProbe()
    {
        // After a snapshot that was sent completely, what it brought is probably there.
        LogIndex next = State == ProgressState.Snapshot && SnapshotSentAtTick != 0 ? LogIndex.Max(Match, SnapshotIndex).Next : Match.Next;
        Enter(ProgressState.Probe, next);
    }

    public void BecomeReplicate() => Enter(ProgressState.Replicate, Match.Next);

    public void BecomeSnapshot(LogIndex index)
    {
        Enter(ProgressState.Snapshot, Next);
        SnapshotIndex = index;
    }

    public void OnSnapshotSent(LogIndex index, ulong tick)
    {
        Invariant.Assert(State == ProgressState.Snapshot);
        SnapshotIndex = index;
        SnapshotSentAtTick = tick;
    }

    /// <summary>An append was accepted up to <paramref name="index"/>. Returns whether that is news.</summary>
    public bool TryAdvance(LogIndex index)
    {
        if (index <= Match)
        {
            return false;
        }

        Match = index;
        Next = LogIndex.Max(Next, index.Next);
        return true;
    }

    /// <summary>An append behind <paramref name="rejected"/> was refused. Returns false for a stale refusal; otherwise <see cref="Next"/> has moved back.</summary>
    public bool TryRetreat(LogIndex rejected, LogIndex hint)
    {
        switch (State)
        {
            case ProgressState.Replicate when rejected > Match:
                BecomeProbe();
                return true;
            case ProgressState.Probe when Next.Previous == rejected && rejected > Match:
                Next = LogIndex.Max(LogIndex.Min(rejected, hint.Next), Match.Next);
                ProbeOut = false;
                return true;
            default:
                return false;
        }
    }

    /// <summary>An append with entries up to <paramref name="last"/> was sent.</summary>
    public void OnEntriesSent(LogIndex last, int bytes)
    {
        switch (State)
        {
            case ProgressState.Replicate:
                Next = last.Next;
                Inflights.Add(last, bytes);
                break;
            case ProgressState.Probe:
                ProbeOut = true;
                break;
            default:
                Invariant.Fail("an append was sent to a follower that waits for a snapshot");
                break;
        }
    }

    private void Enter(ProgressState state, LogIndex next)
    {
        Invariant.Assert(next > Match);
        State = state;
        Next = next;
        ProbeOut = false;
        SnapshotSentAtTick = 0;
        SnapshotIndex = default;
        Inflights.Clear();
    }
}

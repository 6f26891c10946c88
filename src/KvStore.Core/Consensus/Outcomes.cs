using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

public enum RaftRole : byte
{
    Follower = 0,
    PreCandidate = 1,
    Candidate = 2,
    Leader = 3,
}

public enum ProposeResult : byte
{
    /// <summary>The entry is in this leader's log, in memory. It may still be lost with this leader.</summary>
    Accepted = 1,

    /// <summary>Nothing was done.</summary>
    NotLeader = 2,

    /// <summary>Nothing was done: too many uncommitted bytes, or leadership is being handed over. Worth trying again here soon.</summary>
    Overloaded = 3,

    /// <summary>Nothing was done: an earlier change isn't applied yet, the group is joint, or a new leader has committed nothing of its own term yet. Worth trying again here soon.</summary>
    ChangePending = 4,

    /// <summary>Nothing was done: the target is what is there already, is joint, or makes a voter of a replica that isn't even a learner.</summary>
    InvalidTarget = 5,

    /// <summary>Nothing was done: a learner that shall become a voter is silent or lacks too much. Worth trying again later.</summary>
    LearnerBehind = 6,
}

public enum ReadResult : byte
{
    /// <summary>A <see cref="ReadState"/> with this context will follow, whatever happens.</summary>
    Accepted = 1,

    NotLeader = 2,

    /// <summary>Too many reads wait already.</summary>
    Overloaded = 3,
}

/// <summary>
/// The answer to <see cref="RaftNode.ReadIndex"/>: a read of the state at or above <paramref name="Index"/> is linearizable. The caller waits until it has applied that index.
/// <paramref name="Aborted"/>: the leader was lost or refused first, or didn't answer in time, and the index means nothing.
/// </summary>
public readonly record struct ReadState(ulong Context, LogIndex Index, bool Aborted);

/// <summary>Who leads, as far as this replica knows, and what it is itself.</summary>
public readonly record struct LeadershipChange(ReplicaId Leader, Term Term, RaftRole Role);

public enum TermOutcome : byte
{
    Known = 1,

    /// <summary>The index lies below the log's boundary: what its term was can't be told.</summary>
    Compacted = 2,

    /// <summary>The index lies above the log's end.</summary>
    Unavailable = 3,
}

/// <summary>The term of an entry, or why it can't be told. A compacted term is never mistaken for term 0.</summary>
public readonly record struct TermLookup(TermOutcome Outcome, Term Term)
{
    public static readonly TermLookup Compacted = new(TermOutcome.Compacted, default);
    public static readonly TermLookup Unavailable = new(TermOutcome.Unavailable, default);

    public static TermLookup Of(Term term) => new(TermOutcome.Known, term);

    public bool Is(Term term) => Outcome == TermOutcome.Known && Term == term;
}

/// <summary>What the leader knows of one member.</summary>
public readonly record struct ProgressStatus(ReplicaId Id, LogIndex Match, LogIndex Next, ProgressState State, bool RecentlyActive, bool IsVoter);

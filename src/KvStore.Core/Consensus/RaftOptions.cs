namespace KvStore.Core.Consensus;

/// <summary>
/// Timing and limits of one Raft group. Time is counted in ticks, whose length the caller chooses. Pre-vote and check-quorum are always on.
/// </summary>
public sealed record RaftOptions
{
    public static readonly RaftOptions Default = new();

    /// <summary>A leader sends heartbeats every this many ticks. 1 or more.</summary>
    public int HeartbeatTicks { get; init; } = 1;

    /// <summary>
    /// A follower that has heard from a leader within this many ticks grants no votes. More than <see cref="HeartbeatTicks"/>, several times as much in practice.
    /// </summary>
    public int ElectionTicksMin { get; init; } = 10;

    /// <summary>
    /// Election timeouts are drawn from [<see cref="ElectionTicksMin"/>, this], anew for each election. A leader that has not heard from a quorum for this long steps down.
    /// </summary>
    public int ElectionTicksMax { get; init; } = 20;

    /// <summary>
    /// A commit that no entry follows is told with the next heartbeat instead of a message of its own: a message and an answer less per follower and round, while followers apply up to
    /// <see cref="HeartbeatTicks"/> later. Nothing that a client waits for depends on it.
    /// </summary>
    public bool TellCommitWithHeartbeats { get; init; }

    /// <summary>An append message ends with the entry with which it would pass this many bytes; a single larger entry still travels alone.</summary>
    public int MaxAppendBytes { get; init; } = 256 * 1024;

    /// <summary>Append messages on their way to one follower, before the leader waits for an answer.</summary>
    public int MaxInflightMessages { get; init; } = 128;

    /// <summary>Bytes of entries on their way to one follower, before the leader waits for an answer.</summary>
    public int MaxInflightBytes { get; init; } = 8 * 1024 * 1024;

    /// <summary>Proposals are refused while this many bytes of the leader's log are uncommitted; one entry is always let in.</summary>
    public int MaxUncommittedBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>Bytes of committed entries that one <see cref="Ready"/> hands out; at least one entry.</summary>
    public int MaxCommittedBytesPerReady { get; init; } = 1024 * 1024;

    /// <summary>Reads that wait for a confirmation of leadership; more are refused.</summary>
    public int MaxPendingReads { get; init; } = 65_536;

    /// <summary>Read rounds on their way at one time; reads that come while so many are out share the next one.</summary>
    public int MaxReadRounds { get; init; } = 4;

    /// <summary>How long a leader waits, after a snapshot was sent, for the follower to report it installed, before it asks anew what the follower has. In ticks.</summary>
    public int SnapshotAnswerTicks { get; init; } = 200;

    /// <summary>A learner that lacks more entries than this of what is committed isn't made a voter.</summary>
    public int MaxPromotionLag { get; init; } = 1_000;

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(HeartbeatTicks, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(ElectionTicksMin, HeartbeatTicks);
        ArgumentOutOfRangeException.ThrowIfLessThan(ElectionTicksMax, ElectionTicksMin);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxAppendBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInflightMessages, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInflightBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxUncommittedBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxCommittedBytesPerReady, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxPendingReads, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxReadRounds, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(SnapshotAnswerTicks, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(MaxPromotionLag);
    }
}

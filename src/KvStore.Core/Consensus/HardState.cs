using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// What must survive a crash beside the log. <see cref="Term"/> and <see cref="Vote"/> must be durable before anything that follows from them leaves;
/// <see cref="Commit"/> is a hint that saves work after a restart and never forces a sync.
/// </summary>
public readonly record struct HardState(Term Term, ReplicaId Vote, LogIndex Commit);

/// <summary>What a replica finds on its disk when it starts.</summary>
public sealed record RaftRecoveredState
{
    /// <summary>A replica that has never run.</summary>
    public static readonly RaftRecoveredState Empty = new();

    public HardState HardState { get; init; }

    /// <summary>The entry before the first one in <see cref="Entries"/>: the last one that the view contains or that was compacted away. Zero at the start of the log.</summary>
    public LogIndex BoundaryIndex { get; init; }

    public Term BoundaryTerm { get; init; }

    /// <summary>The entries behind the boundary, without gaps.</summary>
    public ReadOnlyMemory<Entry> Entries { get; init; }

    /// <summary>What the view contains: at or above the boundary, at or below the last entry.</summary>
    public LogIndex Applied { get; init; }

    /// <summary>The context of the configuration that is in force, if that is joint: the entry that leaves it gets the same.</summary>
    public ReadOnlyMemory<byte> MembershipContext { get; init; }
}

using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>What an entry's payload is. Numbers are part of the disk and wire formats.</summary>
public enum EntryKind : byte
{
    /// <summary>An empty entry that a new leader commits first.</summary>
    Empty = 0,

    /// <summary>A command for the state machine; Raft does not look inside.</summary>
    Data = 1,

    /// <summary>A configuration of the group: see <see cref="MembershipEntry"/>.</summary>
    Configuration = 2,
}

/// <summary>
/// One entry of the log. The payload is encoded once, by the leader: the same bytes go into the peer frame, the log and the apply. Its memory is never written to again.
/// </summary>
public readonly record struct Entry(Term Term, LogIndex Index, EntryKind Kind, ReadOnlyMemory<byte> Payload)
{
    /// <summary>What counts against byte limits: the payload and the bookkeeping around it.</summary>
    public int Size => Payload.Length + 24;
}

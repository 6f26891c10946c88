using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

public enum ShardChangeKind : byte
{
    /// <summary>The key has this value, or these concurrent ones.</summary>
    Put = 1,

    /// <summary>Somebody has deleted what the key held.</summary>
    Deleted = 2,

    /// <summary>The time to live of what the key held is over.</summary>
    Expired = 3,

    /// <summary>A keyspace in memory has made room: this replica does not hold the key any more. No delete: other replicas may have it.</summary>
    Evicted = 4,

    /// <summary>Nothing that a reader could see; only the position moves.</summary>
    Silent = 5,

    /// <summary>From here on the replicas write: an open period has begun.</summary>
    Opened = 6,

    /// <summary>From here on the log writes: an open period has ended.</summary>
    Ordered = 7,

    /// <summary>What came before is not known here: a start, a snapshot, a full copy.</summary>
    Reset = 8,
}

/// <summary>
/// One change of one key, or of the regime, as a replica has made it: committed in a shard that is ordered, durable here in one that is open. A <see cref="ChangeWindow"/> keeps what it says, and not the object.
/// </summary>
public sealed class ShardChange
{
    /// <summary>What a window takes for a change beside key and record: an estimate, rounded up.</summary>
    private const int OverheadBytes = 128;

    public required ShardChangeKind Kind { get; init; }

    /// <summary>Of changes of keys.</summary>
    public Key Key { get; init; }

    /// <summary>The record as stored after the change; empty where there is no value.</summary>
    public ReadOnlyMemory<byte> Record { get; init; }

    public Epoch Epoch { get; init; }

    /// <summary>The entry that made the change. Index zero: no entry did, the change is one of an open period.</summary>
    public LogPlace Place { get; init; }

    /// <summary>The how manieth change of its entry it is, from 1. Zero: with it the whole entry has been told.</summary>
    public int Ordinal { get; internal set; }

    /// <summary>In an open period: the write that it accounts for. <see cref="MoreDots"/> has the rest, where one change accounts for several.</summary>
    public Dot Dot { get; init; }

    public Dot[] MoreDots { get; init; } = [];

    /// <summary>Of a beginning, and of a reset in an open period: which dots of replicas the data holds. Not to be changed.</summary>
    public ShardClock? Clock { get; init; }

    /// <summary>Of a reset: the shard is open, since the entry at <see cref="Place"/>.</summary>
    public bool IsOpen { get; init; }

    /// <summary>The position behind this change, encoded; null: when it was read from the window, nobody had needed it yet.</summary>
    public byte[]? Position { get; init; }

    /// <summary>A change that readers see.</summary>
    public bool IsVisible => Kind <= ShardChangeKind.Evicted;

    /// <summary>Made by an entry of the log, or the mark of one.</summary>
    public bool IsOfLog => Place.Index > LogIndex.Zero;

    public bool HasDots => Dot.Counter > 0;

    internal ChangeMark Mark => new(Kind, IsOpen, Ordinal, Epoch, Place, Dot);

    public int Bytes => OverheadBytes + Key.Bytes.Length + Record.Length + (MoreDots.Length * 16);
}

using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>Finds the object of a key as it is stored (stripped), <see cref="DottedObject.Empty"/> if there is none. The record must be resident.</summary>
public delegate DottedObject StoredLookup(Key key);

/// <summary>
/// One change of one key, to be persisted at once, in the same turn: one record in the log under <paramref name="Number"/>, and one record of the view.
/// </summary>
/// <param name="Key">The key. Its memory is that of the request or message.</param>
/// <param name="Number">The running number of the replica: the index of the Dotted log record.</param>
/// <param name="Stored">The object as stored from now on. Its values may be slices of the request or message: not to be kept beyond the turn.</param>
/// <param name="LogRecord">Owned by the change, never written to again.</param>
/// <param name="StoredRecord">The record of the view, a slice of the log record; empty if the key is to be removed.</param>
public readonly record struct DottedChange(Key Key, ulong Number, DottedObject Stored, ReadOnlyMemory<byte> LogRecord, ReadOnlyMemory<byte> StoredRecord)
{
    public bool Removes => StoredRecord.IsEmpty;

    /// <summary>The object as stored before. Not to be kept beyond the turn. Not set for what is repeated after a restart.</summary>
    public DottedObject Before { get; init; } = DottedObject.Empty;

    /// <summary>A write that the change accounts for; none, where a full copy brought it.</summary>
    public Dot Dot { get; init; }

    /// <summary>The others, where there are several.</summary>
    public Dot[] MoreDots { get; init; } = [];
}

/// <summary>A step of the replica itself that must be logged, and touches no key.</summary>
public readonly record struct DottedMark(ulong Number, ReadOnlyMemory<byte> LogRecord);

public enum DottedWriteStatus : byte
{
    Written = 1,

    /// <summary>More concurrent values than allowed: read, and write in that context. Definitely not done.</summary>
    TooManySiblings = 2,

    /// <summary>The context claims writes of this replica (or of the log) that were never made: it is not from here. Definitely not done.</summary>
    ContextAhead = 3,

    /// <summary>An increment of a key that holds a value which is no counter. Definitely not done.</summary>
    WrongType = 4,

    /// <summary>An increment that would take the counter out of the range of 64 bits. Definitely not done.</summary>
    Overflow = 5,

    /// <summary>An increment whose request was counted before.</summary>
    Repeated = 6,

    /// <summary>A repeated increment of which it can't be told here whether it was counted. The outcome is unknown.</summary>
    Untold = 7,
}

/// <summary>How a write stands to time, by the clock of who mints it.</summary>
/// <param name="NowMs">What has expired by then is dropped together with the write. Zero: nothing is.</param>
/// <param name="ExpiresMs">When the new value expires. Zero: never.</param>
public readonly record struct Lifetime(ulong NowMs, ulong ExpiresMs);

/// <summary>The outcome of a write. Only <see cref="DottedWriteStatus.Written"/> carries more than the status.</summary>
/// <param name="Status">Whether it was written.</param>
/// <param name="Dot">The minted dot.</param>
/// <param name="Change">What to persist.</param>
/// <param name="Written">The filled object after the write, for the answer's version.</param>
/// <param name="Replicate">The message for the other replicas. Valid until the next call into the replica.</param>
public readonly record struct DottedWrite(DottedWriteStatus Status, Dot Dot, DottedChange Change, DottedObject Written, ReadOnlyMemory<byte> Replicate)
{
    /// <summary>An increment: the counter afterwards; with <see cref="DottedWriteStatus.Repeated"/> as it stands.</summary>
    public long Sum { get; init; }

    internal static DottedWrite Refused(DottedWriteStatus status) => new(status, default, default, DottedObject.Empty, default);
}

/// <summary>The outcome of a receipt.</summary>
/// <param name="IsNew">Whether there is a change to persist. Otherwise the write was known.</param>
/// <param name="Change">What to persist.</param>
/// <param name="AcknowledgeAfter">An acknowledgement may leave once this running number is durable.</param>
public readonly record struct DottedReceipt(bool IsNew, DottedChange Change, ulong AcknowledgeAfter);

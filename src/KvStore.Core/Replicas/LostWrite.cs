using System.Buffers.Binary;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>What can't be said of a lost write for sure.</summary>
[Flags]
public enum LostWriteDoubts : byte
{
    None = 0,

    /// <summary>It may never have been acknowledged: the replica has restarted between, and only remembers that it could have been.</summary>
    Acknowledgement = 1,

    /// <summary>It may have been committed after all: the replica was brought up by a snapshot, which does not tell.</summary>
    Loss = 2,
}

/// <summary>
/// A write that a leader acknowledged before its commit, and that a failover took. Layout of its record, little-endian: doubts (1), acknowledged (8), lost (8), term (8), index (8), then the entry's
/// <see cref="WriteCommand"/>.
/// </summary>
public sealed class LostWrite
{
    private const int HeaderLength = 33;

    private LostWrite(ulong number, byte[] record)
    {
        Number = number;
        Record = record;
    }

    /// <summary>Counts up in the journal of one replica.</summary>
    public ulong Number { get; }

    /// <summary>As it is stored.</summary>
    public byte[] Record { get; }

    public LostWriteDoubts Doubts => (LostWriteDoubts)Record[0];

    /// <summary>When it was acknowledged, in Unix milliseconds; zero: not known any more.</summary>
    public ulong AcknowledgedMs => BinaryPrimitives.ReadUInt64LittleEndian(Record.AsSpan(1));

    /// <summary>When this replica found it lost, in Unix milliseconds.</summary>
    public ulong LostMs => BinaryPrimitives.ReadUInt64LittleEndian(Record.AsSpan(9));

    /// <summary>The term of the leadership that acknowledged it.</summary>
    public Term Term => new(BinaryPrimitives.ReadUInt64LittleEndian(Record.AsSpan(17)));

    /// <summary>Where in the log it stood; the version that the client was told.</summary>
    public LogIndex Index => new(BinaryPrimitives.ReadUInt64LittleEndian(Record.AsSpan(25)));

    public bool IsDelete => Command.Kind == OperationKind.Delete;

    public ReadOnlyMemory<byte> Key => Record.AsMemory(HeaderLength + Command.KeyOffset, Command.Key.Length);

    public ReadOnlyMemory<byte> Value => Record.AsMemory(HeaderLength + Command.KeyOffset + Command.Key.Length);

    /// <summary>When it was written, by the leader's hybrid clock, in Unix milliseconds.</summary>
    public ulong TimestampMs => (ulong)new HybridTimestamp(Command.Timestamp).PhysicalMs;

    public RequestId Request => Command.Request;

    private WriteCommand Command => WriteCommand.Decode(Record.AsSpan(HeaderLength));

    internal static LostWrite Of(ulong number, in Entry entry, LostWriteDoubts doubts, ulong acknowledgedMs, ulong lostMs)
    {
        byte[] record = new byte[HeaderLength + entry.Payload.Length];
        record[0] = (byte)doubts;
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(1), acknowledgedMs);
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(9), lostMs);
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(17), entry.Term.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(25), entry.Index.Value);
        entry.Payload.Span.CopyTo(record.AsSpan(HeaderLength));
        return new LostWrite(number, record);
    }

    internal static LostWrite Decode(ulong number, ReadOnlySpan<byte> record)
    {
        Invariant.Assert(record.Length >= HeaderLength + WriteCommand.HeaderLength, "a lost write is whole");
        return new LostWrite(number, record.ToArray());
    }

    internal LostWrite With(LostWriteDoubts doubts)
    {
        byte[] record = (byte[])Record.Clone();
        record[0] |= (byte)doubts;
        return new LostWrite(Number, record);
    }
}

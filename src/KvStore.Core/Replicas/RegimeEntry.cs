using System.Buffers;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Numbers are part of the log's format.</summary>
public enum RegimeStep : byte
{
    /// <summary>Another mode for the same engine.</summary>
    SetMode = 1,

    /// <summary>From the log to the replicas.</summary>
    Open = 2,

    /// <summary>The replicas take no more writes and become equal.</summary>
    Close = 3,

    /// <summary>A majority holds the baseline: from here on the log writes.</summary>
    Order = 4,

    /// <summary>The closing is called off.</summary>
    Reopen = 5,
}

/// <summary>
/// The log entry that changes a shard's regime. One log entry, one epoch:
/// <code>
/// 0 kind       5, beside the kinds of <see cref="WriteCommand"/>
/// 1 step       (RegimeStep)
/// . from       the epoch that it changes; in any other it has no effect (LEB128)
/// . mode       policy and replication, a byte each: what is wanted
/// . baseline   order only: what a replica must hold to go on with its data as it stands
/// </code>
/// </summary>
public sealed record RegimeEntry(RegimeStep Step, Epoch From, KeyspaceMode Mode, Baseline? Baseline = null)
{
    /// <summary>The first byte of the payload.</summary>
    public const byte Kind = 5;

    public static bool Is(ReadOnlySpan<byte> payload) => payload.Length > 0 && payload[0] == Kind;

    public static bool Is(in Entry entry) => entry.Kind == EntryKind.Data && Is(entry.Payload.Span);

    public byte[] Encode()
    {
        var output = new ArrayBufferWriter<byte>(32);
        VarInt.WriteByte(output, Kind);
        VarInt.WriteByte(output, (byte)Step);
        VarInt.Write(output, From.Value);
        WriteMode(output, Mode);
        Baseline?.Encode(output);
        return output.WrittenSpan.ToArray();
    }

    /// <exception cref="MalformedRecordException">The bytes are no such entry: this replica must stop.</exception>
    public static RegimeEntry Decode(ReadOnlyMemory<byte> payload)
    {
        BinaryCursor input = new(payload);
        if (input.ReadByte() != Kind)
        {
            MalformedRecordException.Throw("an entry of another kind was taken for one of a regime");
        }

        var step = (RegimeStep)input.ReadByte();
        Epoch from = new(input.ReadVarInt());
        KeyspaceMode mode = ReadMode(ref input);
        Baseline? baseline = step == RegimeStep.Order ? Baseline.Decode(ref input) : null;
        input.ExpectEnd();
        if (step is < RegimeStep.SetMode or > RegimeStep.Reopen || mode.Contradiction is not null)
        {
            MalformedRecordException.Throw("an entry asks for no known change of regime");
        }

        return new RegimeEntry(step, from, mode, baseline);
    }

    internal static void WriteMode(IBufferWriter<byte> output, KeyspaceMode mode)
    {
        VarInt.WriteByte(output, (byte)mode.Partition);
        VarInt.WriteByte(output, (byte)mode.Replication);
    }

    internal static KeyspaceMode ReadMode(ref BinaryCursor input) => new((PartitionChoice)input.ReadByte(), (Policy.Replication)input.ReadByte());
}

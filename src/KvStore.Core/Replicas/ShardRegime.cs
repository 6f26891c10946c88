using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Which engine takes a shard's writes. Numbers are part of the disk format.</summary>
public enum RegimeKind : byte
{
    /// <summary>The log.</summary>
    Ordered = 1,

    /// <summary>Every replica.</summary>
    Open = 2,

    /// <summary>None: an open shard is on its way to the log, and its replicas become equal.</summary>
    Closing = 3,
}

/// <summary>
/// How a shard is run at the moment. Replicated state: it changes only by applying an entry (<see cref="RegimeEntry"/>), lies in the view's Meta space with the applied index, and is in every snapshot.
/// </summary>
/// <param name="Epoch">One number for each change; it never goes back.</param>
/// <param name="Kind">Which engine takes writes.</param>
/// <param name="Mode">The keyspace's mode that is in force.</param>
/// <param name="Since">The index of the entry with which this kind began; zero for the founding one. A change of mode alone leaves it.</param>
/// <param name="Episode">
/// Open and closing: the index of the entry with which this open period began. Between replicas the dotted messages of one episode are not heard in another; an episode goes on when the shard is
/// reopened before it was ordered, because its data does.
/// </param>
/// <param name="Target">Closing: the mode that is wanted.</param>
public readonly record struct ShardRegime(Epoch Epoch, RegimeKind Kind, KeyspaceMode Mode, LogIndex Since, LogIndex Episode, KeyspaceMode Target)
{
    private const byte Format = 1;

    public static ReadOnlySpan<byte> MetaKey => "regime"u8;

    public bool IsOrdered => Kind == RegimeKind.Ordered;

    public static ShardRegime Founding(ShardDescriptor descriptor) => new(
        descriptor.Epoch,
        descriptor.Mode.Partition == PartitionChoice.Ap ? RegimeKind.Open : RegimeKind.Ordered,
        descriptor.Mode,
        LogIndex.Zero,
        LogIndex.Zero,
        default);

    /// <summary>What an entry makes of this regime; null if it does not follow from it, and then it changes nothing: it was proposed in view of another regime.</summary>
    public ShardRegime? After(RegimeEntry entry, LogIndex index)
    {
        if (entry.From != Epoch)
        {
            return null;
        }

        var next = new Epoch(Epoch.Value + 1);
        bool wantsAp = entry.Mode.Partition == PartitionChoice.Ap;
        return (entry.Step, Kind) switch
        {
            (RegimeStep.SetMode, RegimeKind.Ordered) when !wantsAp => this with { Epoch = next, Mode = entry.Mode },
            (RegimeStep.SetMode, RegimeKind.Open) when wantsAp => this with { Epoch = next, Mode = entry.Mode },
            (RegimeStep.Open, RegimeKind.Ordered) when wantsAp => new ShardRegime(next, RegimeKind.Open, entry.Mode, index, index, default),
            (RegimeStep.Close, RegimeKind.Open) when !wantsAp => this with { Epoch = next, Kind = RegimeKind.Closing, Since = index, Target = entry.Mode },
            (RegimeStep.Order, RegimeKind.Closing) when !wantsAp => new ShardRegime(next, RegimeKind.Ordered, entry.Mode, index, LogIndex.Zero, default),
            (RegimeStep.Reopen, RegimeKind.Closing) when wantsAp => this with { Epoch = next, Kind = RegimeKind.Open, Mode = entry.Mode, Since = index, Target = default },
            _ => null,
        };
    }

    public byte[] Encode()
    {
        var output = new ArrayBufferWriter<byte>(32);
        VarInt.WriteByte(output, Format);
        VarInt.Write(output, Epoch.Value);
        VarInt.WriteByte(output, (byte)Kind);
        RegimeEntry.WriteMode(output, Mode);
        VarInt.Write(output, Since.Value);
        VarInt.Write(output, Episode.Value);
        RegimeEntry.WriteMode(output, Target);
        return output.WrittenSpan.ToArray();
    }

    /// <exception cref="MalformedRecordException">The bytes are no regime.</exception>
    public static ShardRegime Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        if (input.ReadByte() != Format)
        {
            MalformedRecordException.Throw("a regime has an unknown format");
        }

        var regime = new ShardRegime(
            new Epoch(input.ReadVarInt()),
            (RegimeKind)input.ReadByte(),
            RegimeEntry.ReadMode(ref input),
            new LogIndex(input.ReadVarInt()),
            new LogIndex(input.ReadVarInt()),
            RegimeEntry.ReadMode(ref input));
        input.ExpectEnd();
        if (regime.Kind is < RegimeKind.Ordered or > RegimeKind.Closing)
        {
            MalformedRecordException.Throw("a regime is of no known kind");
        }

        return regime;
    }

    public override string ToString() => Kind == RegimeKind.Closing ? $"closing to {Target} in epoch {Epoch.Value}" : $"{Mode} in epoch {Epoch.Value}";
}

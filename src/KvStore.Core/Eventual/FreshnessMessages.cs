using System.Buffers;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>Asks a peer what it has seen by now, for a read that must not be older than stated.</summary>
/// <param name="Number">Comes back with the answer, which is as fresh as the question.</param>
public readonly record struct ClockAsked(ulong Number)
{
    public void Encode(IBufferWriter<byte> output) => VarInt.Write(output, Number);

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ClockAsked Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ClockAsked asked = new(input.ReadVarInt());
        input.ExpectEnd();
        return asked;
    }
}

/// <summary>All that the sender has seen, durable or not: nothing that it has acknowledged to anybody is outside.</summary>
/// <param name="Number">Of the question.</param>
/// <param name="Recovering">It can't be pulled from.</param>
/// <param name="Clock">Its shard clock.</param>
public sealed record ClockTold(ulong Number, bool Recovering, ShardClock Clock)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, Number);
        VarInt.WriteByte(output, Recovering ? (byte)1 : (byte)0);
        Clock.Encode(output);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ClockTold Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ulong number = input.ReadVarInt();
        bool recovering = input.ReadBool();
        ShardClock clock = ShardClock.Decode(ref input);
        input.ExpectEnd();
        return new ClockTold(number, recovering, clock);
    }
}

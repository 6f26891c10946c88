using System.Buffers;
using System.Buffers.Binary;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>What the sender's data comes to at a clock. Who stands at the same clock compares.</summary>
/// <param name="Clock">All that the sender had seen.</param>
/// <param name="Fold">All sums in one.</param>
/// <param name="Sums">Each by itself: the answer to a sum that differs. Null: not told.</param>
public sealed record DigestMessage(ShardClock Clock, UInt128 Fold, BucketDigests? Sums)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.WriteByte(output, Sums is null ? (byte)0 : (byte)1);
        Clock.Encode(output);
        BinaryPrimitives.WriteUInt128LittleEndian(output.GetSpan(16), Fold);
        output.Advance(16);
        Sums?.Encode(output);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static DigestMessage Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        bool hasSums = input.ReadBool();
        ShardClock clock = ShardClock.Decode(ref input);
        ulong lower = input.ReadFixed64();
        UInt128 fold = new(input.ReadFixed64(), lower);
        BucketDigests? sums = hasSums ? BucketDigests.Decode(ref input) : null;
        input.ExpectEnd();
        return new DigestMessage(clock, fold, sums);
    }
}

using System.Buffers;
using System.Buffers.Binary;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// What a closing shard comes to: the writes that are in it, and checks of what they made of the data and of the remembered requests. A replica that stands exactly here goes on with its data as it is
/// when the shard is ordered; any other takes a snapshot.
/// </summary>
/// <param name="Clock">The writes.</param>
/// <param name="Data">Of the data, the contexts that the clock's base does not imply included.</param>
/// <param name="Requests">Of the remembered requests.</param>
/// <param name="Beyond">All that those contexts name: writes that are not in it and that some record has superseded all the same. The log must keep in mind that they may come.</param>
public sealed record Baseline(ShardClock Clock, UInt128 Data, UInt128 Requests, VersionVector Beyond)
{
    private const int SumBytes = 16;

    /// <summary>Whether a replica that has the same writes also has the same data and remembers the same requests.</summary>
    public bool HasEqualSums(UInt128 data, UInt128 requests) => Data == data && Requests == requests;

    public void Encode(IBufferWriter<byte> output)
    {
        Clock.Encode(output);
        Span<byte> sums = output.GetSpan(2 * SumBytes);
        BinaryPrimitives.WriteUInt128LittleEndian(sums, Data);
        BinaryPrimitives.WriteUInt128LittleEndian(sums[SumBytes..], Requests);
        output.Advance(2 * SumBytes);
        Beyond.Encode(output);
    }

    /// <exception cref="MalformedRecordException">The bytes are no baseline.</exception>
    public static Baseline Decode(ref BinaryCursor input)
    {
        ShardClock clock = ShardClock.Decode(ref input);
        ulong data = input.ReadFixed64();
        ulong dataUpper = input.ReadFixed64();
        ulong requests = input.ReadFixed64();
        ulong requestsUpper = input.ReadFixed64();
        return new Baseline(clock, new UInt128(dataUpper, data), new UInt128(requestsUpper, requests), VersionVector.Decode(ref input));
    }
}

using System.Buffers;
using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// What a replica's data comes to, in 256 sums of 128 bits: each record adds a hash of its key, its values under their dots, and the context that the clock's base does not imply. Sums don't
/// depend on any order, so each write costs two additions, and two replicas with equal clocks can tell whether, and in which buckets, their data differs.
/// </summary>
public sealed class BucketDigests : IEquatable<BucketDigests>
{
    public const int Count = 256;

    private const int SumBytes = 16;

    private readonly UInt128[] _sums = new UInt128[Count];
    private readonly ArrayBufferWriter<byte> _scratch = new(256);

    public UInt128 this[int bucket] => _sums[bucket];

    /// <summary>The bucket that a key belongs to, at every replica.</summary>
    public static int BucketOf(Key key) => (int)(Hash128.Of(key.Span) & (Count - 1));

    /// <summary>Counts a record.</summary>
    /// <param name="key">The key.</param>
    /// <param name="record">Its object, with the context that the clock's base does not imply (as stored, if it was stripped with that base).</param>
    public void Add(Key key, DottedObject record)
    {
        UInt128 hash = Hash128.Of(key.Span);
        _sums[(int)(hash & (Count - 1))] += HashOfValues(hash, record) + HashOfContext(hash, record.Context);
    }

    /// <summary>Takes back what was counted of a record.</summary>
    public void Remove(Key key, DottedObject record)
    {
        UInt128 hash = Hash128.Of(key.Span);
        _sums[(int)(hash & (Count - 1))] -= HashOfValues(hash, record) + HashOfContext(hash, record.Context);
    }

    /// <summary>The buckets in which the other holds something else, in order.</summary>
    public List<int> DifferencesTo(BucketDigests other)
    {
        List<int> different = [];
        for (int bucket = 0; bucket < Count; bucket++)
        {
            if (_sums[bucket] != other._sums[bucket])
            {
                different.Add(bucket);
            }
        }

        return different;
    }

    /// <summary>All sums in one, for the question whether there is a difference at all.</summary>
    public UInt128 Fold()
    {
        _scratch.ResetWrittenCount();
        Encode(_scratch);
        return Hash128.Of(_scratch.WrittenSpan);
    }

    public BucketDigests Clone()
    {
        BucketDigests clone = new();
        _sums.CopyTo(clone._sums, 0);
        return clone;
    }

    public void Encode(IBufferWriter<byte> output)
    {
        Span<byte> span = output.GetSpan(Count * SumBytes);
        for (int bucket = 0; bucket < Count; bucket++)
        {
            BinaryPrimitives.WriteUInt128LittleEndian(span[(bucket * SumBytes)..], _sums[bucket]);
        }

        output.Advance(Count * SumBytes);
    }

    /// <exception cref="MalformedRecordException">There are too few bytes left.</exception>
    public static BucketDigests Decode(ref BinaryCursor input)
    {
        BucketDigests decoded = new();
        for (int bucket = 0; bucket < Count; bucket++)
        {
            ulong lower = input.ReadFixed64();
            decoded._sums[bucket] = new UInt128(input.ReadFixed64(), lower);
        }

        return decoded;
    }

    public bool Equals(BucketDigests? other) => other is not null && _sums.AsSpan().SequenceEqual(other._sums);

    public override bool Equals(object? obj) => Equals(obj as BucketDigests);

    public override int GetHashCode() => _sums[0].GetHashCode();

    public override string ToString() => Fold().ToString("x32", System.Globalization.CultureInfo.InvariantCulture);

    internal void Add(int bucket, UInt128 part) => _sums[bucket] += part;

    /// <summary>What replacing one object by another adds to the sum of the key's bucket, contexts left out.</summary>
    internal (int Bucket, UInt128 Part) Change(Key key, DottedObject before, DottedObject after)
    {
        UInt128 hash = Hash128.Of(key.Span);
        return ((int)(hash & (Count - 1)), HashOfValues(hash, after) - HashOfValues(hash, before));
    }

    internal void AddContext(Key key, VersionVector context)
    {
        UInt128 hash = Hash128.Of(key.Span);
        _sums[(int)(hash & (Count - 1))] += HashOfContext(hash, context);
    }

    /// <summary>A record without values is the trace of a delete, as good as none.</summary>
    private UInt128 HashOfValues(UInt128 hashOfKey, DottedObject record)
    {
        if (record.IsEmpty)
        {
            return 0;
        }

        _scratch.ResetWrittenCount();
        record.EncodeValues(_scratch);
        return Hash128.Of(_scratch.WrittenSpan, hashOfKey);
    }

    private UInt128 HashOfContext(UInt128 hashOfKey, VersionVector context)
    {
        if (context.IsEmpty)
        {
            return 0;
        }

        _scratch.ResetWrittenCount();
        context.Encode(_scratch);
        return Hash128.Of(_scratch.WrittenSpan, ~hashOfKey);
    }
}

using System.IO.Hashing;

namespace KvStore.Contracts;

/// <summary>
/// Which shard a key lives in. Part of the wire contract: client and node must agree for ever. XXH64 with seed 0 over the routed bytes, then jump consistent
/// hashing (Lamping and Veach, 2014) over the number of shards. When a key contains a non-empty "{tag}", only the tag's bytes are hashed, so that keys with the same tag share a shard.
/// </summary>
public static class KeyRouting
{
    public static int ShardOf(ReadOnlySpan<byte> key, int shardCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(shardCount);
        ulong hash = XxHash64.HashToUInt64(RoutedPart(key));
        return shardCount == 1 ? 0 : Jump(hash, shardCount);
    }

    /// <summary>The bytes that decide: what stands between the first '{' and the next '}', if that is not empty; otherwise the whole key.</summary>
    public static ReadOnlySpan<byte> RoutedPart(ReadOnlySpan<byte> key)
    {
        int open = key.IndexOf((byte)'{');
        if (open < 0)
        {
            return key;
        }

        int length = key[(open + 1)..].IndexOf((byte)'}');
        return length > 0 ? key.Slice(open + 1, length) : key;
    }

    private static int Jump(ulong hash, int buckets)
    {
        long bucket = -1;
        long next = 0;
        while (next < buckets)
        {
            bucket = next;
            hash = (hash * 2_862_933_555_777_941_757UL) + 1;
            next = (long)((bucket + 1) * ((1L << 31) / (double)((hash >> 33) + 1)));
        }

        return (int)bucket;
    }
}

using System.Buffers.Binary;
using System.Numerics;

namespace KvStore.Core.Versioning;

/// <summary>
/// MurmurHash3 (x64, 128 bit; Austin Appleby, public domain): fast, the same in every process, and wide enough that sums of it differ where data differs. It does not stand up to somebody who
/// makes collisions on purpose.
/// </summary>
public static class Hash128
{
    private const ulong C1 = 0x87c37b91114253d5;
    private const ulong C2 = 0x4cf5ad432745937f;

    public static UInt128 Of(ReadOnlySpan<byte> bytes, UInt128 seed = default)
    {
        ulong h1 = (ulong)(seed >> 64), h2 = (ulong)seed;
        ReadOnlySpan<byte> rest = bytes;
        while (rest.Length >= 16)
        {
            h1 ^= MixFirst(BinaryPrimitives.ReadUInt64LittleEndian(rest));
            h1 = ((BitOperations.RotateLeft(h1, 27) + h2) * 5) + 0x52dce729;
            h2 ^= MixSecond(BinaryPrimitives.ReadUInt64LittleEndian(rest[8..]));
            h2 = ((BitOperations.RotateLeft(h2, 31) + h1) * 5) + 0x38495ab5;
            rest = rest[16..];
        }

        Span<byte> tail = stackalloc byte[16];
        tail.Clear();
        rest.CopyTo(tail);
        h2 ^= MixSecond(BinaryPrimitives.ReadUInt64LittleEndian(tail[8..]));
        h1 ^= MixFirst(BinaryPrimitives.ReadUInt64LittleEndian(tail));
        h1 ^= (ulong)bytes.Length;
        h2 ^= (ulong)bytes.Length;
        h1 += h2;
        h2 += h1;
        h1 = Finish(h1);
        h2 = Finish(h2);
        h1 += h2;
        h2 += h1;
        return new UInt128(h1, h2);
    }

    private static ulong MixFirst(ulong word) => BitOperations.RotateLeft(word * C1, 31) * C2;

    private static ulong MixSecond(ulong word) => BitOperations.RotateLeft(word * C2, 33) * C1;

    private static ulong Finish(ulong word)
    {
        word ^= word >> 33;
        word *= 0xff51afd7ed558ccd;
        word ^= word >> 33;
        word *= 0xc4ceb9fe1a85ec53;
        return word ^ (word >> 33);
    }
}

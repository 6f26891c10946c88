using System.Buffers.Binary;
using FluentAssertions;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class Hash128Tests
{
    /// <summary>
    /// The verification of SMHasher, by which every implementation of MurmurHash3_x64_128 is known: keys {}, {0}, {0, 1} ... of 0 to 255 bytes, each hashed with the seed 256 minus its length; the first four bytes of the hash of all hashes.
    /// </summary>
    [Fact]
    public void It_is_MurmurHash3_by_the_verification_value_of_its_author()
    {
        byte[] key = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        byte[] hashes = new byte[256 * 16];
        for (int length = 0; length < 256; length++)
        {
            ulong seed = (ulong)(256 - length);
            Write(hashes.AsSpan(16 * length), Hash128.Of(key.AsSpan(0, length), new UInt128(seed, seed)));
        }

        byte[] last = new byte[16];
        Write(last, Hash128.Of(hashes));
        BinaryPrimitives.ReadUInt32LittleEndian(last).Should().Be(0x6384BA69);
    }

    [Fact]
    public void Both_halves_of_a_seed_count_each_in_its_place()
    {
        UInt128[] hashes = [.. new UInt128[] { 0, 1, new(1, 0), new(1, 1), new(2, 1) }.Select(seed => Hash128.Of("key"u8, seed))];
        hashes.Should().OnlyHaveUniqueItems();
    }

    [Fact]
    public void Zeros_at_the_end_count()
        => Enumerable.Range(0, 40).Select(length => Hash128.Of(new byte[length])).Should().OnlyHaveUniqueItems();

    private static void Write(Span<byte> target, UInt128 hash)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(target, (ulong)(hash >> 64));
        BinaryPrimitives.WriteUInt64LittleEndian(target[8..], (ulong)hash);
    }
}

using System.Buffers.Binary;
using System.Numerics;

namespace KvStore.Storage.Log;

/// <summary>CRC-32C (Castagnoli), which processors compute eight bytes a step.</summary>
internal static class Crc32C
{
    public static uint Of(uint seed, ReadOnlySpan<byte> bytes)
    {
        var crc = ~seed;
        while (bytes.Length >= 8)
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[8..];
        }

        foreach (var b in bytes)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }
}

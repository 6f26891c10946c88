using System.Buffers.Binary;

namespace KvStore.Core.Identity;

/// <summary>
/// The hash of in-memory tables over keys: eight bytes a step, multiply and rotate, the same in every process. Not the hash that routes keys to shards
/// (that one is part of the wire contract and lives in KvStore.Contracts).
/// </summary>
public static class KeyHash
{
    private const ulong Multiplier = 0x9E37_79B9_7F4A_7C15;

    public static int Of(ReadOnlySpan<byte> bytes)
    {
        ulong hash = (ulong)bytes.Length * Multiplier;
        while (bytes.Length >= 8)
        {
            hash = ulong.RotateLeft((hash ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes)) * Multiplier, 29);
            bytes = bytes[8..];
        }

        ulong tail = 0;
        foreach (byte b in bytes)
        {
            tail = (tail << 8) | b;
        }

        hash = (hash ^ tail) * Multiplier;
        hash ^= hash >> 32;
        return (int)hash;
    }
}

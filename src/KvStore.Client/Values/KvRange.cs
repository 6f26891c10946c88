using System.Text;
using KvStore.Contracts;

namespace KvStore.Client;

/// <summary>What a scan covers: the keys that begin with a prefix, optionally only those behind a given key.</summary>
public readonly struct KvRange
{
    private KvRange(ReadOnlyMemory<byte> startsWith, ReadOnlyMemory<byte> after)
    {
        StartsWith = startsWith;
        After = after;
    }

    /// <summary>Every key of the keyspace.</summary>
    public static KvRange All => default;

    /// <summary>The prefix; empty: all keys.</summary>
    public ReadOnlyMemory<byte> StartsWith { get; }

    /// <summary>Only keys greater than this; empty: from the start.</summary>
    public ReadOnlyMemory<byte> After { get; }

    /// <summary>The keys that begin with this text, as UTF-8.</summary>
    /// <exception cref="ArgumentException">Longer than 4,096 bytes.</exception>
    public static KvRange Prefix(string prefix)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        return Prefix(Encoding.UTF8.GetBytes(prefix));
    }

    /// <summary>The keys that begin with these bytes.</summary>
    /// <exception cref="ArgumentException">Longer than 4,096 bytes.</exception>
    public static KvRange Prefix(ReadOnlyMemory<byte> prefix)
    {
        if (prefix.Length > KvLimits.MaxKeyBytes)
        {
            throw new ArgumentException($"A prefix has at most {KvLimits.MaxKeyBytes} bytes; this one has {prefix.Length}.", nameof(prefix));
        }

        return new KvRange(prefix, default);
    }

    /// <summary>The part of this range that lies behind a key: where an interrupted scan goes on.</summary>
    public KvRange Behind(KvKey key) => new(StartsWith, key.Bytes);
}

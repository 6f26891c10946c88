using KvStore.Core.Identity;

namespace KvStore.Core.Replicas.Watching;

/// <summary>What is watched: one key, or all keys that begin with some bytes; with none, every key.</summary>
public readonly record struct WatchRange(ReadOnlyMemory<byte> Bytes, bool IsPrefix)
{
    public static WatchRange All => new(default, IsPrefix: true);

    public static WatchRange Only(Key key) => new(key.Bytes, IsPrefix: false);

    public static WatchRange Prefix(ReadOnlyMemory<byte> prefix) => new(prefix, IsPrefix: true);

    public bool Holds(ReadOnlySpan<byte> key) => IsPrefix ? key.StartsWith(Bytes.Span) : key.SequenceEqual(Bytes.Span);
}

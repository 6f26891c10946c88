using KvStore.Core.Replicas.Watching;

namespace KvStore.Node.Watching;

/// <summary>Finds the readers of a key: one look for those of that key, one for each length that a watched prefix has. Not thread-safe.</summary>
internal sealed class WatchIndex
{
    private readonly Dictionary<byte[], List<ShardWatcher>> _keys = new(BytesComparer.Instance);
    private readonly Dictionary<byte[], List<ShardWatcher>> _prefixes = new(BytesComparer.Instance);
    private readonly SortedDictionary<int, int> _lengths = [];

    public void Add(ShardWatcher watcher)
    {
        byte[] bytes = watcher.Range.Bytes.ToArray();
        Dictionary<byte[], List<ShardWatcher>> table = TableOf(watcher.Range);
        if (!table.TryGetValue(bytes, out List<ShardWatcher>? readers))
        {
            table.Add(bytes, readers = []);
            if (watcher.Range.IsPrefix)
            {
                _lengths[bytes.Length] = _lengths.GetValueOrDefault(bytes.Length) + 1;
            }
        }

        readers.Add(watcher);
    }

    public void Remove(ShardWatcher watcher)
    {
        byte[] bytes = watcher.Range.Bytes.ToArray();
        Dictionary<byte[], List<ShardWatcher>> table = TableOf(watcher.Range);
        if (!table.TryGetValue(bytes, out List<ShardWatcher>? readers) || !readers.Remove(watcher) || readers.Count > 0)
        {
            return;
        }

        table.Remove(bytes);
        if (watcher.Range.IsPrefix && --_lengths[bytes.Length] == 0)
        {
            _lengths.Remove(bytes.Length);
        }
    }

    /// <summary>Adds the readers of a key to a list.</summary>
    public void Find(ReadOnlySpan<byte> key, List<ShardWatcher> into)
    {
        if (_keys.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out List<ShardWatcher>? readers))
        {
            into.AddRange(readers);
        }

        foreach ((int length, _) in _lengths)
        {
            if (length > key.Length)
            {
                return;
            }

            if (_prefixes.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key[..length], out readers))
            {
                into.AddRange(readers);
            }
        }
    }

    private Dictionary<byte[], List<ShardWatcher>> TableOf(WatchRange range) => range.IsPrefix ? _prefixes : _keys;

    private sealed class BytesComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public static readonly BytesComparer Instance = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(byte[] bytes) => GetHashCode(bytes.AsSpan());

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            HashCode hash = default;
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}

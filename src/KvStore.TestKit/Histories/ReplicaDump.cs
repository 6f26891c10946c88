namespace KvStore.TestKit.Histories;

/// <summary>
/// Everything that one replica holds, key by key: the texts that should be equal on all replicas, such as its sibling values, or versions, or both in one
/// text. A key without texts is an absent key.
/// </summary>
/// <param name="replica">The replica's name.</param>
public sealed class ReplicaDump(string replica)
{
    private readonly SortedDictionary<string, SortedSet<string>> _keys = new(StringComparer.Ordinal);

    /// <summary>The replica's name.</summary>
    public string Replica { get; } = replica;

    /// <summary>The keys that have a text, in ordinal order.</summary>
    public IReadOnlyCollection<string> Keys => _keys.Keys;

    /// <summary>Adds one text of a key. Order and repetition do not matter.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">A sibling, or a version.</param>
    /// <returns>The same dump.</returns>
    public ReplicaDump Add(string key, string value)
    {
        ArgumentNullException.ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(value);
        if (!_keys.TryGetValue(key, out var values))
        {
            values = new SortedSet<string>(StringComparer.Ordinal);
            _keys.Add(key, values);
        }

        values.Add(value);
        return this;
    }

    /// <summary>The texts of a key in ordinal order; none if it is absent.</summary>
    /// <param name="key">The key.</param>
    public IReadOnlySet<string> ValuesOf(string key) => _keys.TryGetValue(key, out var values) ? values : Nothing;

    private static IReadOnlySet<string> Nothing { get; } = new SortedSet<string>();
}

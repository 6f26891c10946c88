using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Bounds what a shard remembers of the answers of transactions, over all sessions: those that are in flight, and the last of each session that has fallen silent. When there is no more room the oldest go. Derived from the
/// sessions, and so the same on every replica that remembers the same.
/// </summary>
internal sealed class RememberedAnswers
{
    /// <summary>Bytes of answers that a shard remembers. All may be one session's, whose record must fit into a message between nodes.</summary>
    public const long MaxBytes = 4 * 1_048_576;

    /// <summary>By the index of the entry: no two transactions share one.</summary>
    private readonly SortedDictionary<LogIndex, (SessionWindow Window, ulong Sequence)> _byIndex = [];

    public long Bytes { get; private set; }

    public void Add(in RememberedResult result, SessionWindow window, ulong sequence)
    {
        if (result.Answer is { } answer)
        {
            _byIndex.Add(result.Version, (window, sequence));
            Bytes += answer.Length;
        }
    }

    public void Remove(in RememberedResult result)
    {
        if (result.Answer is { } answer)
        {
            bool known = _byIndex.Remove(result.Version);
            Invariant.Assert(known, "every remembered answer is counted once");
            Bytes -= answer.Length;
        }
    }

    /// <summary>The oldest, while there are more than may be.</summary>
    public bool TryFindOverdue(out SessionWindow window, out ulong sequence)
    {
        if (Bytes <= MaxBytes)
        {
            (window, sequence) = (null!, 0);
            return false;
        }

        // The first of the tree: SortedDictionary has no Min of its own.
        using SortedDictionary<LogIndex, (SessionWindow Window, ulong Sequence)>.Enumerator first = _byIndex.GetEnumerator();
        first.MoveNext();
        (window, sequence) = first.Current.Value;
        return true;
    }

    public void Clear()
    {
        _byIndex.Clear();
        Bytes = 0;
    }
}

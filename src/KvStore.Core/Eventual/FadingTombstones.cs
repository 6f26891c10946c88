using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// Deleted keys whose records still say what is gone, because the clock's base doesn't yet. Once it does, the record is removed without a trace (causality-based removal). Only
/// a reminder: a forgotten one costs a small record, until the key is next touched.
/// </summary>
internal sealed class FadingTombstones(int capacity)
{
    private readonly Queue<(Key Key, VersionVector Context)> _waiting = new();

    public int Count => _waiting.Count;

    public IEnumerable<(Key Key, VersionVector Context)> Waiting => _waiting;

    public void Remember(Key key, VersionVector context)
    {
        if (_waiting.Count == capacity)
        {
            _waiting.Dequeue();
        }

        _waiting.Enqueue((Key.CopyOf(key.Span), context));
    }

    /// <summary>Takes the keys whose context the base now implies, looking at no more than so many.</summary>
    public List<Key> TakeCovered(VersionVector clockBase, int maxLooked)
    {
        List<Key> covered = [];
        for (int looked = Math.Min(maxLooked, _waiting.Count); looked > 0; looked--)
        {
            (Key Key, VersionVector Context) next = _waiting.Dequeue();
            if (clockBase.Descends(next.Context))
            {
                covered.Add(next.Key);
            }
            else
            {
                _waiting.Enqueue(next);
            }
        }

        return covered;
    }
}

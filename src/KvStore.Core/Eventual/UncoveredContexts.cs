using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// The records whose context the clock's base did not imply yet when they were stored: deletes above all, and writes that overtook others. Once it does, the context is stripped, and a record
/// without values is removed without a trace (causality-based removal). What is left is one dot a value.
/// </summary>
/// <remarks>A table of the contexts and a queue of its keys; each key of the table is in the queue once, and leaves both when it is looked at.</remarks>
internal sealed class UncoveredContexts(int capacity)
{
    private readonly Dictionary<Key, VersionVector> _contexts = [];
    private readonly Queue<Key> _order = new();
    private VersionVector? _lookingAt;
    private VersionVector? _fruitlessAt;
    private int _fruitless;

    /// <summary>How many records wait.</summary>
    public int Count { get; private set; }

    /// <summary>There was no room for some. They are found again when all records are read, and stay as they are until then.</summary>
    public bool HasOverflowed { get; private set; }

    /// <summary>Half of the room is free.</summary>
    public bool HasRoom => _contexts.Count <= capacity / 2;

    /// <summary>Takes note of the context with which a key is stored from now on; empty: none.</summary>
    public void Note(Key key, VersionVector context)
    {
        if (_contexts.Count == 0 && context.IsEmpty)
        {
            return;
        }

        if (_contexts.TryGetValue(key, out VersionVector? earlier))
        {
            // One that is done keeps its place until its turn, so that no key is in the queue twice.
            _contexts[key] = context;
            Count += (context.IsEmpty ? 0 : 1) - (earlier.IsEmpty ? 0 : 1);
        }
        else if (context.IsEmpty)
        {
            return;
        }
        else if (_contexts.Count == capacity)
        {
            HasOverflowed = true;
            return;
        }
        else
        {
            Key owned = Key.CopyOf(key.Span);
            _contexts.Add(owned, context);
            _order.Enqueue(owned);
            Count++;
        }

        LookAnew();
    }

    /// <summary>All records are being read: whatever had no room is found again.</summary>
    public void ForgetOverflow() => HasOverflowed = false;

    /// <summary>Whether it may be worth looking again: something was noted, or the base has moved, since all were looked at in vain.</summary>
    public bool MayHold(VersionVector clockBase) => _order.Count > 0 && !ReferenceEquals(_fruitlessAt, clockBase);

    /// <summary>Takes the keys of whose context the base now implies some or all, looking at no more than so many.</summary>
    public List<Key> TakeCovered(VersionVector clockBase, int maxLooked, int maxTaken)
    {
        List<Key> covered = [];
        if (!ReferenceEquals(_lookingAt, clockBase))
        {
            LookAnew();
            _lookingAt = clockBase;
        }

        for (int looked = Math.Min(maxLooked, _order.Count); looked > 0 && covered.Count < maxTaken && MayHold(clockBase); looked--)
        {
            Key key = _order.Dequeue();
            VersionVector context = _contexts[key];
            VersionVector rest = context.Without(clockBase);
            if (rest.IsEmpty)
            {
                _contexts.Remove(key);
                Count -= context.IsEmpty ? 0 : 1;
            }
            else
            {
                _contexts[key] = rest;
                _order.Enqueue(key);
            }

            if (rest.Count < context.Count)
            {
                covered.Add(key);
                _fruitless = 0;
            }
            else if (!rest.IsEmpty && ++_fruitless >= _order.Count)
            {
                _fruitless = 0;
                _fruitlessAt = clockBase;
            }
        }

        return covered;
    }

    /// <summary>Adds what of the contexts the base doesn't imply.</summary>
    public void AddTo(BucketDigests digests, VersionVector clockBase)
    {
        foreach (Key key in _order)
        {
            digests.AddContext(key, _contexts[key].Without(clockBase));
        }
    }

    /// <summary>All that the contexts together say and the base doesn't imply. If that names more than so many actors: the part of it that was found first, which names more as well.</summary>
    public VersionVector Beyond(VersionVector clockBase, int maxActors)
    {
        VersionVector beyond = VersionVector.Empty;
        foreach (VersionVector context in _contexts.Values)
        {
            beyond = beyond.Join(context.Without(clockBase));
            if (beyond.Count > maxActors)
            {
                break;
            }
        }

        return beyond;
    }

    private void LookAnew()
    {
        _fruitlessAt = null;
        _fruitless = 0;
    }
}

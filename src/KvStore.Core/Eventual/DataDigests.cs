using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// Keeps the <see cref="BucketDigests"/> of a replica's data up to date. After a start they are made from a reading of all records, page by page, while writes go on: keys up to the end of the last page
/// are counted; what changes behind it while a page is being read is remembered, and counts if the page reaches it.
/// </summary>
/// <remarks>
/// The caller reads pages as long as <see cref="NeedsPage"/>: <see cref="BeginPage"/> in the turn in which the reading begins (after a seal), then <see cref="TakePage"/>. Digests of two replicas say something
/// of each other only when their clocks are equal and neither is recovering.
/// </remarks>
public sealed class DataDigests
{
    /// <summary>Changes that are remembered while one page is read; past it the page is read again.</summary>
    private const int MaxBehind = 100_000;

    private readonly ReplicaState _state;
    private readonly List<(Key Key, int Bucket, UInt128 Part)> _behind = [];
    private readonly BucketDigests _sums = new();
    private ReadOnlyMemory<byte> _through;
    private Pass _pass = Pass.Counting;
    private bool _reading;
    private bool _counted;
    private bool _tooManyBehind;

    internal DataDigests(ReplicaState state) => _state = state;

    private enum Pass : byte
    {
        None,

        /// <summary>After a start: every record is counted.</summary>
        Counting,

        /// <summary>There was no room for some contexts: they are found again.</summary>
        Contexts,
    }

    /// <summary>Every record is counted, and every context that matters is known.</summary>
    public bool AreComplete => _pass == Pass.None && !_state.Contexts.HasOverflowed;

    /// <summary>
    /// A page is to be read. Not while so many contexts wait that it might find no room for more, unless none of them can go at present: then there is nothing to wait for. They are not looked for again and again
    /// in that case.
    /// </summary>
    public bool NeedsPage => !_reading && !AreComplete && (_state.Contexts.HasRoom || (_pass == Pass.Counting && !_state.Contexts.MayHold(_state.Clock.BaseVector)));

    /// <summary>The digests at the clock of this moment. Only if they are complete.</summary>
    public BucketDigests Capture()
    {
        Invariant.Assert(AreComplete, "digests are asked for when all records are counted");
        BucketDigests captured = _sums.Clone();
        _state.Contexts.AddTo(captured, _state.Clock.BaseVector);
        return captured;
    }

    /// <summary>To be called in the turn in which the page's records are read as they stand.</summary>
    /// <returns>The page begins behind this key; empty: at the first.</returns>
    public ReadOnlyMemory<byte> BeginPage()
    {
        Invariant.Assert(!_reading, "one page is read at a time");
        if (_pass == Pass.None)
        {
            _pass = Pass.Contexts;
            _state.Contexts.ForgetOverflow();
        }

        _reading = true;
        _tooManyBehind = false;
        return _through;
    }

    /// <param name="records">Keys and stored records in key order, complete from where the page begins.</param>
    /// <param name="last">Whether they reach the end.</param>
    /// <exception cref="MalformedRecordException">A record is damaged.</exception>
    public void TakePage(IReadOnlyList<(Key Key, ReadOnlyMemory<byte> Record)> records, bool last)
    {
        Invariant.Assert(_reading && (last || records.Count > 0));
        _reading = false;
        if (!_tooManyBehind)
        {
            Take(records, last);
        }

        _behind.Clear();
    }

    /// <summary>A stored object was replaced by another.</summary>
    internal void OnChanged(Key key, DottedObject before, DottedObject after)
    {
        bool isBehind = key.Span.SequenceCompareTo(_through.Span) > 0;
        bool counts = _counted || (_pass == Pass.Counting && !isBehind);
        bool remembers = _reading && isBehind;
        if (!counts && !remembers)
        {
            return;
        }

        (int bucket, UInt128 part) = HaveSameDots(before, after) ? (0, UInt128.Zero) : _sums.Change(key, before, after);
        if (counts)
        {
            _sums.Add(bucket, part);
            part = UInt128.Zero;
        }

        if (remembers)
        {
            _tooManyBehind |= _behind.Count == MaxBehind;
            if (!_tooManyBehind)
            {
                _behind.Add((Key.CopyOf(key.Span), bucket, part));
            }
        }
    }

    private void Take(IReadOnlyList<(Key Key, ReadOnlyMemory<byte> Record)> records, bool last)
    {
        HashSet<Key> changed = [];
        ReadOnlyMemory<byte> through = last ? default : records[^1].Key.Span.ToArray();
        foreach ((Key key, int bucket, UInt128 part) in _behind)
        {
            changed.Add(key);
            if (last || key.Span.SequenceCompareTo(through.Span) <= 0)
            {
                _sums.Add(bucket, part);
            }
        }

        foreach ((Key key, ReadOnlyMemory<byte> bytes) in records)
        {
            DottedObject record = DottedObject.Decode(bytes);
            if (_pass == Pass.Counting)
            {
                (int bucket, UInt128 part) = _sums.Change(key, DottedObject.Empty, record);
                _sums.Add(bucket, part);
            }

            // What the log wrote as such stands for its own index, which is part of the clock: there is nothing to strip, and nothing is moved.
            if (!record.Context.IsEmpty && !OrderedRecord.IsOrdered(bytes.Span) && !changed.Contains(key))
            {
                _state.Contexts.Note(key, record.Context);
            }
        }

        _through = through;
        _counted |= last;
        _pass = last ? Pass.None : _pass;
    }

    /// <summary>A dot names one value for ever.</summary>
    private static bool HaveSameDots(DottedObject one, DottedObject other)
    {
        if (one.Values.Length != other.Values.Length)
        {
            return false;
        }

        for (int i = 0; i < one.Values.Length; i++)
        {
            if (one.Values[i].Dot != other.Values[i].Dot)
            {
                return false;
            }
        }

        return true;
    }
}

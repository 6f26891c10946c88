using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// How far a full copy has come. In the ranges that are joined, all that the source knew when the copy began is accounted for, although the own clock doesn't say so yet: a late push
/// of something the source had deleted must not come back (counterexample C5). In the ranges still to come only the own clock counts: filled with more, a local object would drop the source's values.
/// </summary>
internal sealed class CopiedRanges(ShardClock firstClock)
{
    private readonly SortedSet<Key> _touched = [];
    private VersionVector? _filledBase;
    private VersionVector? _filled;
    private ReadOnlyMemory<byte> _through;
    private bool _all;

    /// <summary>The source's clock when the first range was read.</summary>
    public ShardClock FirstClock { get; } = firstClock;

    /// <summary>Objects in memory only: what the source had let go when the last range was read.</summary>
    public VersionVector? SourceLetGo { get; set; }

    /// <summary>Whether the key's range is joined.</summary>
    public bool Covers(Key key) => _all || key.Span.SequenceCompareTo(_through.Span) <= 0;

    /// <summary>The end of the joined ranges; empty at the beginning.</summary>
    public ReadOnlyMemory<byte> Through => _through;

    public bool All => _all;

    /// <summary>The page that waits to be joined. Keys of its range that change meanwhile are touched.</summary>
    public FullCopyPage? Waiting { get; private set; }

    public IReadOnlyCollection<Key> Touched => _touched;

    public VersionVector KnownFor(Key key, VersionVector clockBase)
    {
        if (!_all && key.Span.SequenceCompareTo(_through.Span) > 0)
        {
            return clockBase;
        }

        if (!ReferenceEquals(_filledBase, clockBase))
        {
            _filledBase = clockBase;
            _filled = clockBase.Join(FirstClock.BaseVector);
        }

        return _filled!;
    }

    public void Touch(Key key)
    {
        if (Waiting is not null && Waiting.Contains(key))
        {
            _touched.Add(Key.CopyOf(key.Span));
        }
    }

    public void Await(FullCopyPage page)
    {
        Waiting = page;
        _touched.Clear();
    }

    public void Joined()
    {
        Invariant.Assert(Waiting is not null);
        _through = Waiting.Through.ToArray();
        _all = Waiting.Last;
        Waiting = null;
        _touched.Clear();
    }
}

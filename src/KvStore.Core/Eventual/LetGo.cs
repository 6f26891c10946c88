using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// What a replica that keeps its objects in memory only has evicted, as one context: the join of those of all evicted objects. See docs/replication.md for the whole argument.
/// </summary>
/// <remarks>
/// <para>
/// Where objects are evicted, absence must mean nothing. So in such a shard the clock never fills an object: every object carries its whole context, an absent one is empty and claims nothing, and no join, page or copy can take
/// an eviction for a delete. The clock only says which dots need not be sent again.
/// </para>
/// <para>
/// What was let go is not taken back piecemeal, or an old value could return at a replica that had evicted what superseded it: a value whose dot was seen before, or lies below what was let go, and that the own object neither
/// holds nor covers, makes the replica let go of the key as a whole. So does a dot whose effect nobody can tell. Both are rare, and both cost a miss, never a wrong answer.
/// </para>
/// </remarks>
internal sealed class LetGo
{
    /// <summary>Keys let go while a fresh replica is being copied that are told apart; past it the common context decides.</summary>
    private const int MaxExact = 100_000;

    private HashSet<Key>? _exact;

    /// <summary>Covers every dot that an evicted object held or accounted for. It may cover dots of other keys too: those are then missed here, which is safe.</summary>
    public VersionVector Covered { get; private set; } = VersionVector.Empty;

    public void Note(Key key, VersionVector context)
    {
        Covered = Covered.Join(context);
        if (_exact is not null && !_exact.Contains(key))
        {
            _exact = _exact.Count < MaxExact ? _exact : null;
            _exact?.Add(Key.CopyOf(key.Span));
        }
    }

    /// <summary>
    /// A replica that has nothing begins to copy everything. The one context for all that it evicts meanwhile would cover most of what is still to come, because it covers other keys' dots too: so these few keys are kept by name.
    /// </summary>
    public void BeginFromNothing() => _exact = [];

    /// <summary>All ranges are copied.</summary>
    /// <param name="source">What the source had let go.</param>
    public void EndCopy(VersionVector source)
    {
        _exact = null;
        Covered = Covered.Join(source);
    }

    /// <summary>Joins what came with the own object.</summary>
    /// <param name="key">The key.</param>
    /// <param name="mine">As stored; empty if absent.</param>
    /// <param name="theirs">With what it claims.</param>
    /// <param name="seen">The own clock, before the new dots are added.</param>
    /// <param name="fresh">The dots that are added with it.</param>
    /// <param name="copied">Not null: the key's range was copied, and what the source knew counts as seen here (C5), though the clock doesn't say so yet.</param>
    /// <param name="theirLetGo">
    /// Not null: what the peer has let go, and some of the fresh dots with it. Its object may cover such a dot without what the dot had superseded: the context of a write made elsewhere covers dots that its writer
    /// never saw. So an own value below what the peer has let go, that its object doesn't account for, may be old.
    /// </param>
    /// <returns>Empty: the key is let go, or stays so.</returns>
    public DottedObject Join(Key key, DottedObject mine, DottedObject theirs, ShardClock seen, ReadOnlySpan<Dot> fresh, CopiedRanges? copied, VersionVector? theirLetGo)
    {
        DottedObject joined = DottedObject.Sync(mine, theirs);
        bool isNew = IsNew(theirs, mine, seen, Covered) && (copied is null || IsNew(theirs, mine, copied.FirstClock, copied.SourceLetGo!));
        bool isMineOld = theirLetGo is not null && !IsNew(mine, theirs, null, theirLetGo);
        return isNew && !isMineOld && Accounts(joined, fresh) ? joined : Drop(key, mine, theirs);
    }

    /// <summary>The same for a key of a full copy, where the source's clock is adopted too: what it has seen and does not hold any more is suspect in the own object.</summary>
    public DottedObject JoinCopied(Key key, DottedObject mine, DottedObject theirs, ShardClock seen, CopyCapture source)
    {
        bool isMissed = _exact is null ? !IsNew(theirs, mine, seen, Covered) : _exact.Contains(key) || !IsNew(theirs, mine, seen, VersionVector.Empty);
        return isMissed || !IsNew(mine, theirs, source.Clock, source.LetGo!) ? Drop(key, mine, theirs) : DottedObject.Sync(mine, theirs);
    }

    /// <summary>Whether each value of one is held or accounted for by the other, or was never seen there.</summary>
    private static bool IsNew(DottedObject values, DottedObject other, ShardClock? seen, VersionVector letGo)
    {
        foreach (ref readonly DottedValue value in values.Values)
        {
            if (!other.Context.Covers(value.Dot) && (seen?.Covers(value.Dot) == true || letGo.Covers(value.Dot)))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Accounts(DottedObject joined, ReadOnlySpan<Dot> fresh)
    {
        foreach (Dot dot in fresh)
        {
            if (!joined.Context.Covers(dot))
            {
                return false;
            }
        }

        return true;
    }

    private DottedObject Drop(Key key, DottedObject mine, DottedObject theirs)
    {
        Note(key, mine.Context);
        Note(key, theirs.Context);
        return DottedObject.Empty;
    }
}

using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// As of when one replica has all that another one had: the other's clock, once it is included in the own, vouches for the moment at which it was told. The oldest clock that is not reached yet is
/// kept until it is, so that the moment moves on under steady writes, and the newest, so that it doesn't move by small steps after a long absence.
/// </summary>
internal sealed class CoveredAsOf(long startMs)
{
    private (long AtMs, ShardClock Clock)? _oldest;
    private (long AtMs, ShardClock Clock)? _newest;

    /// <summary>All that the other had at this moment is here.</summary>
    public long AtMs { get; private set; } = startMs;

    /// <param name="atMs">The other had exactly this at or after that moment.</param>
    /// <param name="theirs">Its clock; must not change any more.</param>
    /// <param name="own">The own clock.</param>
    public void Told(long atMs, ShardClock theirs, ShardClock own)
    {
        if (own.Includes(theirs))
        {
            AtMs = Math.Max(AtMs, atMs);
            Look(own);
        }
        else if (_oldest is null)
        {
            _oldest = (atMs, theirs);
        }
        else
        {
            _newest = (atMs, theirs);
        }
    }

    /// <summary>The own clock may have grown.</summary>
    public void Look(ShardClock own)
    {
        while (_oldest is { } pending && (pending.AtMs <= AtMs || own.Includes(pending.Clock)))
        {
            AtMs = Math.Max(AtMs, pending.AtMs);
            (_oldest, _newest) = (_newest, null);
        }
    }
}

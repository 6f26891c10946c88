using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;

namespace KvStore.Node.Catalog;

/// <summary>
/// Brings the shards that this node leads into the mode that the catalog wants. Looks a few times a second and asks again until it is so: whoever leads next goes on from what the log says, so nothing is
/// remembered here. While no keyspace was ever altered it has no timer: an idle node must not be woken four times a second for nothing.
/// </summary>
internal sealed class RegimeKeeper : IDisposable
{
    private const long ChangeDeadlineMs = 10_000;
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);

    private readonly LoopSet _loops;
    private readonly Timer _timer;
    private readonly Lock _gate = new();
    private bool _started;
    private bool _ticks;

    public RegimeKeeper(LoopSet loops)
    {
        _loops = loops;
        _timer = new Timer(_ => Look(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public void Start()
    {
        lock (_gate)
        {
            _started = true;
        }

        Look();
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _started = false;
            _timer.Dispose();
        }
    }

    /// <summary>Looks now: the catalog has changed.</summary>
    public void Look()
    {
        bool altered;
        lock (_gate)
        {
            altered = _loops.Router.Catalog.Keyspaces.Any(keyspace => keyspace.Alterations > 0);
            if (_started && altered != _ticks)
            {
                TimeSpan period = altered ? Period : Timeout.InfiniteTimeSpan;
                _timer.Change(period, period);
                _ticks = altered;
            }
        }

        if (altered)
        {
            foreach (ShardLoop loop in _loops.Loops)
            {
                loop.Post(Keep);
            }
        }
    }

    private void Keep(ShardLoop loop)
    {
        foreach (ShardReplica replica in loop.Replicas)
        {
            if (replica.IsLeader && WantedOf(replica.Descriptor.Shard) is { } wanted && !replica.StaysIn(wanted))
            {
                loop.ChangeMode(replica.Descriptor.Shard, wanted, loop.Clock.NowMs + ChangeDeadlineMs);
            }
        }
    }

    /// <summary>Null for a keyspace that was never altered, or is unknown.</summary>
    private KeyspaceMode? WantedOf(ShardId shard)
    {
        CatalogKeyspace? keyspace = _loops.Router.Catalog.Keyspaces.FirstOrDefault(each => each.Id == shard.Keyspace);
        return keyspace is { Alterations: > 0 } ? keyspace.Mode : null;
    }
}

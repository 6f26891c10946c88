using Grpc.Core;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Catalog;

/// <summary>What clients follow: the catalog, and who leads which shard as far as this node knows. Every change bumps a version that watchers wait for.</summary>
internal sealed class TopologyFeed(NodeId self, ShardRouter router)
{
    private readonly System.Collections.Concurrent.ConcurrentDictionary<ShardId, NodeId> _leaders = new();
    private readonly System.Collections.Concurrent.ConcurrentDictionary<ShardId, ShardRegime> _regimes = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile ClusterCatalog? _placed;
    private long _version;
    private volatile bool _ended;

    /// <summary>Grows with every change.</summary>
    public long Version => Volatile.Read(ref _version);

    public void SetLeader(ShardId shard, NodeId leader)
    {
        _leaders[shard] = leader;
        OnChanged();
    }

    /// <summary>The replica of this node is in another regime. Shards that have only been in their founding one are not mentioned.</summary>
    public void SetRegime(ShardId shard, ShardRegime regime)
    {
        _regimes[shard] = regime;
        OnChanged();
    }

    /// <summary>The shard's keyspace was deleted.</summary>
    public void Forget(ShardId shard)
    {
        _leaders.TryRemove(shard, out _);
        _regimes.TryRemove(shard, out _);
    }

    public ShardRegime? RegimeOf(ShardId shard) => _regimes.TryGetValue(shard, out ShardRegime regime) ? regime : null;

    public NodeId LeaderOf(ShardId shard) => _leaders.GetValueOrDefault(shard);

    /// <summary>The replicas that a new catalog places on this node are on their way: what is sent to them from now on meets them.</summary>
    public void OnPlaced(ClusterCatalog catalog)
    {
        _placed = catalog;
        OnChanged();
    }

    public void OnChanged()
    {
        Interlocked.Increment(ref _version);
        Interlocked.Exchange(ref _changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    /// <summary>This node has lost its place in the system shard, and hears nothing new: whoever follows it goes to another node.</summary>
    public void End()
    {
        if (!_ended)
        {
            _ended = true;
            router.HasReadCatalog = false;
            OnChanged();
        }
    }

    /// <summary>From now on the catalog that this node tells is one that was current after its start.</summary>
    public void SetCatalogRead()
    {
        router.HasReadCatalog = !_ended;
        OnChanged();
    }

    public Topology Current()
    {
        // Looked at first: what is read of the catalog afterwards can only be newer.
        bool read = router.HasReadCatalog;
        Topology topology = CatalogCodec.ToTopology(_placed ?? router.Catalog, self, LeaderOf, RegimeOf);
        topology.CatalogRead = read;
        return topology;
    }

    /// <summary>Completes when the version is above the one given, and returns it.</summary>
    /// <exception cref="RpcException">UNAVAILABLE: there will be no newer one here.</exception>
    public async Task<long> WaitForNewerAsync(long seen, CancellationToken cancellation)
    {
        while (true)
        {
            Task changed = Volatile.Read(ref _changed).Task;
            long version = Version;
            if (_ended)
            {
                throw new RpcException(new Status(StatusCode.Unavailable, "This node has left the cluster, or is about to: ask another one."));
            }

            if (version > seen)
            {
                return version;
            }

            await changed.WaitAsync(cancellation);
        }
    }

    /// <summary>Completes when this node knows a catalog of at least this revision, and has placed what it places here.</summary>
    public async Task WaitForRevisionAsync(ulong revision, CancellationToken cancellation)
    {
        for (long seen = -1; (_placed ?? router.Catalog).Revision < revision && !_ended;)
        {
            seen = await WaitForNewerAsync(seen, cancellation);
        }
    }
}

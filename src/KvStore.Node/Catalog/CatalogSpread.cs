using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Peers;
using Reachability = KvStore.Contracts.V1.Reachability;

namespace KvStore.Node.Catalog;

/// <summary>
/// Waits until the other members know a catalog too. Who has created a keyspace uses it at once, through whichever node: a replica that was not there for the first write, and is for the read after it, would answer from before the
/// write. Nothing depends on it: a node that can't be reached, or takes too long, hears of the catalog when it can.
/// </summary>
internal sealed class CatalogSpread(NodeId self, ShardRouter router, TopologyFeed topology, Func<PeerView> peers)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>Completes when this node knows a catalog of at least this revision, and all others that the detector calls up do, or a second has passed.</summary>
    public async Task WaitAsync(ulong revision, CancellationToken cancellation)
    {
        await topology.WaitForRevisionAsync(revision, cancellation);
        PeerView view = peers();
        await Task.WhenAll(router.Catalog.Members
            .Where(member => member.Node != self && view.Of(member.Node) == Reachability.Up)
            .Select(member => WaitForAsync(member.Address, revision, cancellation)));
    }

    private static async Task WaitForAsync(string address, ulong revision, CancellationToken cancellation)
    {
        try
        {
            using GrpcChannel channel = PeerChannel.Open(address, new PeerMeshOptions());
            using AsyncServerStreamingCall<Topology> call = new Kv.KvClient(channel).WatchTopology(new WatchTopologyRequest(), deadline: DateTime.UtcNow + Patience, cancellationToken: cancellation);
            while (await call.ResponseStream.MoveNext(cancellation))
            {
                if (call.ResponseStream.Current.Revision >= revision)
                {
                    return;
                }
            }
        }
        catch (Exception failure) when (failure is RpcException or UriFormatException && !cancellation.IsCancellationRequested)
        {
            // It hears of it later. The keyspace is there: whatever is wrong with the way to another node, its creation has not failed.
        }
    }
}

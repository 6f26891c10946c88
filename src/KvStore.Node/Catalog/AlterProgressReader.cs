using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Peers;

namespace KvStore.Node.Catalog;

/// <summary>Asks all nodes with replicas of a keyspace how far these are on the way to its settings. Whoever does not answer is not bound.</summary>
internal sealed class AlterProgressReader(KeyspaceAdmin catalogs)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <exception cref="RpcException">There is no such keyspace, or this node can't be sure of the catalog: one that is cut off would take old settings for the wanted ones.</exception>
    public async Task<KeyspaceProgress> ReadAsync(string name, Func<ShardId, NodeId> leaderOf, CancellationToken cancellation)
    {
        (ClusterCatalog catalog, _) = await catalogs.ReadAsync(cancellation);
        CatalogKeyspace keyspace = catalog.Keyspaces.FirstOrDefault(each => each.Name == name)
            ?? throw KeyspaceAdmin.Refused(StatusCode.NotFound, $"There is no keyspace '{name}'; 'kv keyspace list' shows those there are.");
        NodeId[] nodes = [.. keyspace.Shards.SelectMany(shard => shard).Select(replica => replica.Node).Distinct().Order()];
        IReadOnlyList<ReplicaStatus>[] answers = await Task.WhenAll(nodes.Select(node => AskAsync(catalog, node, name, cancellation)));
        var replicas = new Dictionary<(uint Node, uint Shard), ReplicaStatus>();
        for (int i = 0; i < nodes.Length; i++)
        {
            foreach (ReplicaStatus replica in answers[i])
            {
                replicas[(nodes[i].Value, replica.Shard)] = replica;
            }
        }

        Keyspace wire = CatalogCodec.ToWire(keyspace, leaderOf);
        var progress = new KeyspaceProgress { Keyspace = wire };
        progress.Shards.AddRange(wire.Shards.Select((shard, number) => Judge(wire, shard, (uint)number, replicas)));
        progress.Done = progress.Shards.All(shard => shard.Done);
        return progress;
    }

    /// <summary>The leader of the highest term says how the shard is run; a replica is bound when it is in the same epoch.</summary>
    internal static ShardProgress Judge(Keyspace keyspace, Shard shard, uint number, Dictionary<(uint Node, uint Shard), ReplicaStatus> replicas)
    {
        (uint Node, ReplicaStatus? Status)[] members = [.. shard.Replicas.Select(replica => (replica.Node, replicas.GetValueOrDefault((replica.Node, number))))];
        (uint leader, ReplicaStatus? status) = members.Where(member => member.Status?.Role == "leader").OrderByDescending(member => member.Status!.Term).FirstOrDefault();
        var progress = new ShardProgress { Shard = number, Leader = leader };
        if (status is not null)
        {
            progress.Epoch = status.Epoch;
            progress.Regime = status.Regime;
            progress.Closing = status.Closing;
            progress.Policy = status.Policy;
            progress.Replication = status.Replication;
            progress.PauseMs = status.PauseMs;
            progress.Done = !status.Switching && status.Policy == keyspace.Policy && status.Replication == keyspace.Replication;
        }

        foreach ((uint node, ReplicaStatus? member) in members)
        {
            (status is not null && member?.Epoch == status.Epoch ? progress.Bound : progress.Unbound).Add(node);
        }

        return progress;
    }

    private static async Task<IReadOnlyList<ReplicaStatus>> AskAsync(ClusterCatalog catalog, NodeId node, string name, CancellationToken cancellation)
    {
        if (catalog.Members.FirstOrDefault(member => member.Node == node) is not { } member)
        {
            return [];
        }

        using GrpcChannel channel = PeerChannel.Open(member.Address, new PeerMeshOptions());
        try
        {
            var request = new DescribeKeyspaceRequest { Name = name };
            return (await new Admin.AdminClient(channel).DescribeKeyspaceAsync(request, deadline: DateTime.UtcNow + Patience, cancellationToken: cancellation)).Replicas;
        }
        catch (RpcException) when (!cancellation.IsCancellationRequested)
        {
            return [];
        }
    }
}

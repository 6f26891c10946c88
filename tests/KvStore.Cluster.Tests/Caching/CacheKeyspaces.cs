using KvStore.Client;
using KvStore.Client.Caching;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;

namespace KvStore.Cluster.Tests.Caching;

/// <summary>What a cache may be made of.</summary>
public enum Under
{
    /// <summary>ap, best-effort, durability memory: what the docs recommend.</summary>
    Memory,

    /// <summary>ap, async, on disk.</summary>
    Ap,

    /// <summary>cp, sync.</summary>
    Cp,
}

/// <summary>Keyspaces for caches, and caches that wait as long as a busy machine needs.</summary>
internal static class CacheKeyspaces
{
    public static async Task<string> CreateAsync(this ThreeNodes nodes, Under under)
    {
        string name = nodes.NewName($"cache-{under}".ToLowerInvariant());
        if (under == Under.Memory)
        {
            await nodes.Cluster.Client.Admin.CreateKeyspaceAsync(
                new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Replication = Replication.BestEffort, Durability = Durability.Memory, Shards = 2, MemoryBytes = 32 << 20 });
            await nodes.Cluster.WaitUntilAsync("it serves everywhere: what is written goes where it is read", async () =>
                (await nodes.Cluster.ReplicasAsync(name)) is { Count: 6 } all && all.All(replica => replica.Fenced.Length == 0 && replica.Leader != 0));
        }
        else
        {
            (PartitionPolicy policy, Replication replication) = under == Under.Ap ? (PartitionPolicy.Ap, Replication.Async) : (PartitionPolicy.Cp, Replication.Sync);
            await nodes.Cluster.CreateKeyspaceAsync(name, policy, replication, shards: 2);
        }

        return name;
    }

    public static KvCacheOptions Options(string keyspace) => new() { Keyspace = keyspace, Timeout = TimeSpan.FromSeconds(30) };
}

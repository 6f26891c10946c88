using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Rig;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Soak;

/// <summary>
/// The operations of a soak: three keyspaces in equal parts, and in each half puts, three tenths gets, a tenth deletes, a tenth puts that expire. The keys are always the same ones, so that the data does not grow; what the keyspace
/// in memory would need is several times its limit, so that it evicts all the time.
/// </summary>
internal sealed class SoakLoad
{
    private const int ValueBytes = 200;

    /// <summary>The smallest that eight shards may have.</summary>
    private const long MemoryBytes = 16L * 1_048_576;

    private const int MemoryKeyFactor = 8;

    private static readonly KvWriteOptions Expiring = new() { Ttl = TimeSpan.FromSeconds(5) };

    private readonly KvLoad[] _loads;

    private SoakLoad(KvLoad[] loads) => _loads = loads;

    public const string Description = "cp/sync, ap/async and ap/best-effort in memory (16 MiB a copy), a third each; 5 of 10 puts, 3 gets, 1 delete, 1 put that expires after 5 s";

    /// <summary>Creates the keyspaces and writes their keys.</summary>
    public static async Task<SoakLoad> PrepareAsync(OwnCluster cluster, int keys, CancellationToken stop)
    {
        KvKeyspaceSettings[] keyspaces =
        [
            new() { Name = "soak-cp", Policy = PartitionPolicy.Cp, Replication = Replication.Sync },
            new() { Name = "soak-ap", Policy = PartitionPolicy.Ap, Replication = Replication.Async },
            new() { Name = "soak-memory", Policy = PartitionPolicy.Ap, Replication = Replication.BestEffort, Durability = Durability.Memory, MemoryBytes = MemoryBytes },
        ];
        var loads = new List<KvLoad>();
        foreach (var keyspace in keyspaces)
        {
            await cluster.CreateAsync(keyspace, stop);
            var load = new KvLoad(cluster.Client.Keyspace(keyspace.Name), keyspace.Durability == Durability.Memory ? MemoryKeyFactor * keys : keys, ValueBytes);
            await load.FillAsync(64, stop);
            loads.Add(load);
        }

        return new SoakLoad([.. loads]);
    }

    public ValueTask<LoadOutcome> RunAsync(int worker, ulong random)
    {
        var load = _loads[random % (ulong)_loads.Length];
        random /= (ulong)_loads.Length;
        var kind = random % 10;
        random /= 10;
        return kind switch
        {
            < 5 => load.PutAsync(worker, random),
            < 8 => load.GetAsync(worker, random),
            < 9 => load.DeleteAsync(worker, random),
            _ => load.PutAsync(random, Expiring),
        };
    }
}

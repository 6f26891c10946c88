using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Raw;
using KvStore.Cli.Bench.Rig;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Footprint;

/// <summary><c>kv bench memory</c>: what a connection, an idle shard and a key cost a node, as differences of memory before and after many of them, each on a fresh cluster.</summary>
internal static class MemoryCommand
{
    private const int ValueBytes = 100;

    /// <summary>Room for every key that is measured: nothing is evicted.</summary>
    private const long TableBytes = 4L << 30;

    private const string Examples =
        """
        kv bench memory
        kv bench memory --only connection,shard --connections 2000 --shards 1024
        kv bench memory --only memory-key --keys 2000000
        """;

    private static readonly string[] Kinds = ["connection", "shard", "cp-key", "ap-key", "memory-key"];

    public static Command Create(CommandHost host)
    {
        var connections = Amounts.Count("--connections", "Client connections to each node.", 500, 1, 5_000);
        var shards = Amounts.Count("--shards", "Idle shards.", 512, 1, KvLimits.MaxShards);
        var keys = Amounts.Count("--keys", "Keys of 16 bytes, with values of 100.", 500_000, 1, 20_000_000);
        var warmUp = Amounts.Count("--warm-up", "Puts of other keys before each measurement, so that code, buffers and the window for watches are there already.", 600_000, 0, 100_000_000);
        var nodes = Amounts.Count("--nodes", "How many nodes; each has a replica of everything.", 3, 1, KvLimits.MaxReplicas);
        var only = new Option<string>("--only") { Description = $"What to measure, of {string.Join(", ", Kinds)}. Default: all.", HelpName = "KIND,...", DefaultValueFactory = _ => string.Join(',', Kinds) };
        only.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && result.Tokens[0].Value.Split(',').Except(Kinds).FirstOrDefault() is { } unknown)
            {
                result.AddError($"'{unknown}' can't be measured; use {string.Join(", ", Kinds)}.");
            }
        });
        var command = new Command("memory", "Measure the resident memory of a client connection, an idle shard and a key, each on a cluster of its own.") { connections, shards, keys, warmUp, nodes, only };
        return host.Add(command, Examples, async context =>
        {
            var machine = MachineReading.Now();
            context.Line("                count    before, MiB    after, MiB    resident each    heap each    spread each");
            foreach (var kind in context.Value(only)!.Split(','))
            {
                await MeasureAsync(context, kind, context.Value(nodes), context.Value(warmUp), kind switch
                {
                    "connection" => context.Value(connections),
                    "shard" => context.Value(shards),
                    _ => context.Value(keys),
                });
            }

            context.Line(machine.Since());
            return ExitCode.Ok;
        });
    }

    private static async Task MeasureAsync(CommandContext context, string kind, int nodes, int warmUp, int count)
    {
        context.Note($"{kind}: a fresh cluster, and {warmUp.ToString("N0", CultureInfo.InvariantCulture)} puts ...");
        await using var cluster = await OwnCluster.StartAsync(context, "memory", nodes, "--table-bytes", TableBytes.ToString(CultureInfo.InvariantCulture));
        await cluster.CreateAsync(new KvKeyspaceSettings { Name = "warm-up", Policy = PartitionPolicy.Cp, Replicas = nodes }, context.Stop);
        var other = new KvLoad(cluster.Client.Keyspace("warm-up"), keys: 1_000, ValueBytes);
        await other.FillAsync(64, context.Stop);
        if (warmUp > 0)
        {
            await new LoadGenerator(new LoadPlan { Concurrency = 512, Operations = warmUp }, other.PutAsync).RunAsync(null, context.Stop);
        }

        if (kind.EndsWith("-key", StringComparison.Ordinal))
        {
            await cluster.CreateAsync(KeyspaceOf(kind, nodes), context.Stop);
            await new KvLoad(cluster.Client.Keyspace(kind), keys: 1_000, ValueBytes).FillAsync(64, context.Stop);
        }

        var before = await SettledMemory.ReadAsync(cluster, context.Stop);
        await using var held = await AddAsync(context, cluster, kind, nodes, count);
        var after = await SettledMemory.ReadAsync(cluster, context.Stop);
        double Each(long bytes) => bytes / (double)count / nodes;
        context.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"{kind,-12}  {count,7:N0}    {before.ResidentBytes / 1_048_576.0,11:N1}    {after.ResidentBytes / 1_048_576.0,10:N1}    {Each(after.ResidentBytes - before.ResidentBytes),11:N0} B    {Each(after.HeapBytes - before.HeapBytes),7:N0} B    {Each(before.SpreadBytes + after.SpreadBytes),9:N0} B"));
    }

    /// <summary>Adds what is measured. What has to stay open for it is returned.</summary>
    private static async Task<IAsyncDisposable?> AddAsync(CommandContext context, OwnCluster cluster, string kind, int nodes, int count)
    {
        switch (kind)
        {
            case "connection":
                return await OpenAsync(context, cluster, count);
            case "shard":
                await cluster.CreateAsync(new KvKeyspaceSettings { Name = "idle", Policy = PartitionPolicy.Cp, Shards = count, Replicas = nodes }, context.Stop);
                await UntilQuietAsync(context, cluster, count * nodes);
                return null;
            default:
                await new KvLoad(cluster.Client.Keyspace(kind), count, ValueBytes).FillAsync(1_024, context.Stop);
                return null;
        }
    }

    /// <summary>Pipelined streams as the client holds them, each of a connection of its own, on each of which a put was answered.</summary>
    private static async Task<RawPuts> OpenAsync(CommandContext context, OwnCluster cluster, int count)
    {
        var topology = await cluster.Client.GetTopologyAsync(context.Stop);
        var keyspace = topology.Keyspaces.Single(known => known.Name == "warm-up");

        // Any node takes any put: which one serves it is no matter here.
        var puts = RawPuts.Connect(topology, keyspace, keyspace.Shards.Index().ToDictionary(shard => shard.Index, shard => topology.Members[shard.Index % topology.Members.Count].Node), keys: 1_000, count);
        await puts.EachOnceAsync(context.Stop);
        return puts;
    }

    private static async Task UntilQuietAsync(CommandContext context, OwnCluster cluster, int replicas)
    {
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(500));
        while ((await cluster.ReplicasAsync(context.Stop)).Count(replica => replica.Keyspace == "idle" && replica.Quiet) < replicas)
        {
            await look.WaitForNextTickAsync(context.Stop);
        }
    }

    private static KvKeyspaceSettings KeyspaceOf(string kind, int nodes)
    {
        var settings = new KvKeyspaceSettings { Name = kind, Policy = kind == "cp-key" ? PartitionPolicy.Cp : PartitionPolicy.Ap, Replication = kind == "cp-key" ? Replication.Sync : Replication.Async, Replicas = nodes };
        return kind == "memory-key" ? settings with { Durability = Durability.Memory, Replication = Replication.BestEffort, MemoryBytes = TableBytes } : settings;
    }
}

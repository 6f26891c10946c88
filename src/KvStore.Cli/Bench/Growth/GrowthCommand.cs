using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Rig;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Growth;

/// <summary><c>kv bench growth</c>: what an operation costs in a keyspace with few keys and in one with very many, side by side on a cluster of its own.</summary>
internal static class GrowthCommand
{
    private const int Few = 10_000;

    /// <summary>Puts under way while loading: what one client leaves unfinished. It sends what gathers in one frame.</summary>
    private const int Loading = 2_048;

    /// <summary>After loading, what was written goes on to the table files in the background; nothing is measured before that is over.</summary>
    private static readonly TimeSpan QuietDeadline = TimeSpan.FromMinutes(5);

    private const double QuietCores = 0.05;

    private const string Examples =
        """
        kv bench growth
        kv bench growth --keys 1000000 --kind memory --nodes 3
        """;

    public static Command Create(CommandHost host)
    {
        var keys = Amounts.Count("--keys", $"Keys of the large keyspace; the small one has {Few}.", 10_000_000, Few, 100_000_000);
        var kind = new Option<string>("--kind") { Description = "cp: sync; ap (default): async; memory: ap best-effort in memory.", DefaultValueFactory = _ => "ap" };
        kind.AcceptOnlyFromAmong("cp", "ap", "memory");
        var nodes = Amounts.Count("--nodes", "How many nodes; each has a replica of everything.", 1, 1, KvLimits.MaxReplicas);
        var memory = new Option<long>("--memory")
        {
            Description = "What a node may use for objects: its --table-bytes, or the limit of each keyspace in memory. Less than the keys need measures reads from the disk. Default: 8GiB.",
            HelpName = "SIZE",
            DefaultValueFactory = _ => 8L << 30,
            CustomParser = result => Quantities.ParseSize(result, 64L << 20, 1L << 40),
        };
        var concurrency = Amounts.Count("--concurrency", "Operations in flight while measuring.", 256, 1, 2_048);
        var turn = Amounts.Time("--turn", "How long each turn is.", TimeSpan.FromSeconds(5), TimeSpan.FromMilliseconds(200), TimeSpan.FromMinutes(10));
        var rounds = Amounts.Count("--rounds", "How many turns of each.", 5, 1, 100);
        var command = new Command("growth", "Load a small and a large keyspace of a cluster of its own, and compare what a put and a get cost in each.") { keys, kind, nodes, memory, concurrency, turn, rounds };
        return host.Add(command, Examples, async context =>
        {
            var (room, members) = (context.Value(memory), context.Value(nodes));
            await using var cluster = await OwnCluster.StartAsync(context, "growth", members, "--table-bytes", room.ToString(CultureInfo.InvariantCulture));
            context.Line(string.Create(CultureInfo.InvariantCulture, $"growth: {members} {(members == 1 ? "node" : "nodes")}, {context.Value(kind)}, keys of 16 bytes, values of 100, {context.Value(concurrency)} in flight"));
            GrowthSide[] sides =
            [
                await LoadAsync(context, cluster, Settings("few", context.Value(kind)!, members, room), Few),
                await LoadAsync(context, cluster, Settings("many", context.Value(kind)!, members, room), context.Value(keys)),
            ];
            await UntilQuietAsync(context, cluster);
            await CompareAsync(context, sides, context.Value(concurrency), context.Value(turn), context.Value(rounds));
            return sides.All(side => side.NotDone == 0) ? ExitCode.Ok : ExitCode.Failed;
        });
    }

    private static KvKeyspaceSettings Settings(string name, string kind, int nodes, long memory)
    {
        var settings = new KvKeyspaceSettings { Name = name, Policy = kind == "cp" ? PartitionPolicy.Cp : PartitionPolicy.Ap, Replication = kind == "cp" ? Replication.Sync : Replication.Async, Replicas = nodes };
        return kind == "memory" ? settings with { Replication = Replication.BestEffort, Durability = Durability.Memory, MemoryBytes = memory } : settings;
    }

    private static async Task<GrowthSide> LoadAsync(CommandContext context, OwnCluster cluster, KvKeyspaceSettings settings, int keys)
    {
        await cluster.CreateAsync(settings, context.Stop);
        var load = new GrowthLoad(cluster.Client.Keyspace(settings.Name), keys);
        var (machine, used, resident) = (MachineReading.Now(), cluster.Used(), cluster.ResidentBytes());
        var report = await new LoadGenerator(new LoadPlan { Concurrency = Loading, Operations = keys }, load.LoadAsync).RunAsync(
            second => context.Note(string.Create(CultureInfo.InvariantCulture, $"{second.Completed:N0} of {keys:N0} keys, {second.PerSecond:N0}/s")), context.Stop);
        context.Stop.ThrowIfCancellationRequested();
        context.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"  loaded {keys:N0} keys by one client, {Loading:N0} puts under way, in {report.Elapsed.TotalSeconds:0.0} s: {report.PerSecond:N0}/s, {(cluster.Used() - used).TotalMicroseconds / keys:0.0} us of the nodes' processor time for each; resident {resident >> 20:N0} to {cluster.ResidentBytes() >> 20:N0} MiB; {machine.Since()}"));
        return new GrowthSide(cluster, load, keys);
    }

    private static async Task UntilQuietAsync(CommandContext context, OwnCluster cluster)
    {
        var begin = TimeProvider.System.GetTimestamp();
        double cores;
        do
        {
            var (used, at) = (cluster.Used(), TimeProvider.System.GetTimestamp());
            await Task.Delay(TimeSpan.FromSeconds(2), context.Stop);
            cores = (cluster.Used() - used) / TimeProvider.System.GetElapsedTime(at);
        }
        while (cores > QuietCores * cluster.Nodes.Count && TimeProvider.System.GetElapsedTime(begin) < QuietDeadline);

        context.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"  the nodes used {cores:0.00} cores {TimeProvider.System.GetElapsedTime(begin).TotalSeconds:0} s after that; resident {cluster.ResidentBytes() >> 20:N0} MiB, on disk {cluster.Nodes.Sum(cluster.DiskBytes) >> 20:N0} MiB"));
    }

    /// <summary>In turns: a machine that grows busier, or a node that grows warmer, favours neither.</summary>
    private static async Task CompareAsync(CommandContext context, GrowthSide[] sides, int concurrency, TimeSpan turn, int rounds)
    {
        string[] operations = ["get", "put"];
        var machine = MachineReading.Now();
        for (var round = 0; round < rounds; round++)
        {
            context.Note($"round {round + 1} of {rounds}");
            foreach (var operation in operations)
            {
                foreach (var side in round % 2 == 0 ? sides : sides.Reverse())
                {
                    await side.MeasureAsync(operation, concurrency, turn, context.Stop);
                    context.Stop.ThrowIfCancellationRequested();
                }
            }
        }

        context.Line("               keys  us of the nodes  of the turns           op/s       p50       p99");
        foreach (var operation in operations)
        {
            context.Line(sides[0].Line(operation));
            context.Line(sides[1].Line(operation));
            double[] ratios = [.. sides[1].CpuUs(operation).Zip(sides[0].CpuUs(operation), (many, few) => many / few).Order()];
            context.Line(string.Create(CultureInfo.InvariantCulture, $"  {operation}: {GrowthSide.Middle(ratios):0.00} times the processor time at {sides[1].Keys:N0} keys, {ratios[0]:0.00} to {ratios[^1]:0.00} of the {rounds} rounds"));
        }

        context.Line(string.Create(CultureInfo.InvariantCulture, $"  {sides.Sum(side => side.NotDone):N0} operations not done; {machine.Since()}"));
    }
}

using System.CommandLine;
using System.Globalization;
using HdrHistogram;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Raw;
using KvStore.Cli.Bench.Rig;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Overload;

/// <summary><c>kv bench overload</c>: a cluster of its own is offered twice as much as it can do. What it keeps doing, how it refuses the rest, and whether it stays calm.</summary>
internal static class OverloadCommand
{
    private const string Keyspace = "overload";

    private const int Keys = 10_000;

    /// <summary>Closed loops that look for the peak: the best of them is it.</summary>
    private static readonly int[] Peaks = [256, 1_024, 4_096, 16_384];

    /// <summary>The client's and the node's own deadline of an operation, and some more.</summary>
    private static readonly TimeSpan DrainPatience = TimeSpan.FromSeconds(30);

    private const string Examples =
        """
        kv bench overload
        kv bench overload --policy ap --times 3 --duration 1m
        """;

    public static Command Create(CommandHost host)
    {
        var policy = new Option<string>("--policy") { Description = "cp (default): sync puts; ap: async puts.", DefaultValueFactory = _ => "cp" };
        policy.AcceptOnlyFromAmong("cp", "ap");
        var times = Amounts.Count("--times", "How many times the peak is offered.", 2, 1, 100);
        var duration = Amounts.Time("--duration", "For how long.", TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));
        var peak = Amounts.Time("--peak", "How long each measurement of the peak takes; there is one for each of four numbers in flight.", TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(500), TimeSpan.FromMinutes(10));
        var connections = Amounts.Count("--connections", $"Connections to each node; each has at most {RawPuts.InFlightPerConnection} puts in flight.", 64, 1, 1_024);
        var nodes = Amounts.Count("--nodes", "How many nodes.", 3, 1, ClusterPlan.MaxNodes);
        var command = new Command("overload", "Offer a cluster of its own more than it can do, without retries, and show what it keeps doing, how it refuses, and whether it stays calm.") { policy, times, duration, peak, connections, nodes };
        return host.Add(command, Examples, async context =>
        {
            await using var cluster = await OwnCluster.StartAsync(context, "overload", context.Value(nodes));
            await using var puts = await PrepareAsync(context, cluster, context.Value(policy) == "ap" ? PartitionPolicy.Ap : PartitionPolicy.Cp, context.Value(connections));
            var most = await PeakAsync(context, puts, context.Value(peak));
            await OverloadAsync(context, cluster, puts, most, context.Value(times), context.Value(duration));
            return ExitCode.Ok;
        });
    }

    private static async Task<RawPuts> PrepareAsync(CommandContext context, OwnCluster cluster, PartitionPolicy policy, int connections)
    {
        var replication = policy == PartitionPolicy.Cp ? Replication.Sync : Replication.Async;
        await cluster.CreateAsync(new KvKeyspaceSettings { Name = Keyspace, Policy = policy, Replication = replication }, context.Stop);
        await new KvLoad(cluster.Client.Keyspace(Keyspace), Keys, valueSize: 100).FillAsync(64, context.Stop);
        var topology = await cluster.Client.GetTopologyAsync(context.Stop);
        var keyspace = topology.Keyspaces.Single(known => known.Name == Keyspace);
        var nodeOf = policy == PartitionPolicy.Ap
            ? keyspace.Shards.Index().ToDictionary(shard => shard.Index, shard => shard.Item.Nodes[0])
            : (await cluster.ReplicasAsync(context.Stop)).Where(replica => replica.Keyspace == Keyspace && replica.Role == "leader").ToDictionary(replica => (int)replica.Shard, replica => replica.Leader);
        var puts = RawPuts.Connect(topology, keyspace, nodeOf, Keys, connections);
        context.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"overload: {cluster.Nodes.Count} nodes, {policy.ToString().ToLowerInvariant()}/{replication.ToString().ToLowerInvariant()} puts of 100 bytes, {connections} connections to each node, at most {puts.MostInFlight:N0} in flight; no retries, no request ids"));
        return puts;
    }

    private static async Task<double> PeakAsync(CommandContext context, RawPuts puts, TimeSpan duration)
    {
        await puts.ClosedAsync(Peaks[0], duration / 2, context.Stop);
        var most = 0.0;
        foreach (var inFlight in Peaks.Where(inFlight => inFlight <= puts.MostInFlight))
        {
            var (machine, own) = (MachineReading.Now(), Environment.CpuUsage.TotalTime);
            var tally = await puts.ClosedAsync(inFlight, duration, context.Stop);
            var rate = tally.Done.TotalCount / duration.TotalSeconds;
            most = Math.Max(most, rate);
            context.Line(string.Create(
                CultureInfo.InvariantCulture,
                $"peak: closed loop, {inFlight,6:N0} in flight: {rate:N0} op/s done, {Describe(tally.Done)}; refused {Codes(tally.RefusedBy)}; kv itself {(Environment.CpuUsage.TotalTime - own) / duration:0.00} cores, {machine.Since()}"));
        }

        return most;
    }

    private static async Task OverloadAsync(CommandContext context, OwnCluster cluster, RawPuts puts, double peak, int times, TimeSpan duration)
    {
        var calm = await ClusterCalm.BeginAsync(cluster, context.Stop);
        using var end = new CancellationTokenSource();
        var watching = calm.WatchAsync(end.Token, context.Stop);
        var (machine, own, nodes) = (MachineReading.Now(), Environment.CpuUsage.TotalTime, cluster.Used());
        var (tally, sent, leftOut) = await puts.OpenAsync(times * peak, duration, context.Stop);
        var inFlight = puts.InFlight;
        var (busy, ownCores, nodeCores) = (machine.Since(), (Environment.CpuUsage.TotalTime - own) / duration, (cluster.Used() - nodes) / duration);
        var late = await puts.DrainAsync(DrainPatience, context.Stop);
        await end.CancelAsync();
        await watching;

        var seconds = duration.TotalSeconds;
        var done = tally.Done.TotalCount / seconds;
        string[] lines =
        [
            Text($"overload: open loop, {times * peak:N0} op/s due, {times} times the peak, for {Quantities.Describe(duration)}"),
            Text($"  sent {sent / seconds:N0}/s; {leftOut / seconds:N0}/s left out, because the connection had {RawPuts.InFlightPerConnection:N0} in flight (the generator's own bound)"),
            Text($"  done {done:N0}/s, {100 * done / peak:0} % of the peak; {Describe(tally.Done)}"),
            Text($"  refused {tally.Refused.TotalCount / seconds:N0}/s: {Codes(tally.RefusedBy)}; {Describe(tally.Refused)}"),
            Text($"  unknown: {Codes(tally.UnknownBy)}"),
            Text($"  at the end {inFlight:N0} were in flight; of those done {late.Done.TotalCount:N0}, refused {Codes(late.RefusedBy)}, unknown {Codes(late.UnknownBy)}, never answered {puts.InFlight:N0}"),
            .. calm.Lines(),
            Text($"  nodes {nodeCores:0.00} cores, kv itself {ownCores:0.00}; {busy}"),
        ];
        foreach (var line in lines)
        {
            context.Line(line);
        }
    }

    private static string Describe(LongHistogram latencies) => latencies.TotalCount == 0
        ? "none"
        : $"p50 {BenchReport.Time(TimeSpan.FromMicroseconds(latencies.GetValueAtPercentile(50)))}, p99 {BenchReport.Time(TimeSpan.FromMicroseconds(latencies.GetValueAtPercentile(99)))}";

    /// <summary>By the code of the answer, with the gRPC status that a unary call would have ended with where it is the one that says "too much".</summary>
    private static string Codes(Dictionary<Code, long> codes) => codes.Count == 0
        ? "0"
        : string.Join(", ", codes.OrderByDescending(code => code.Value).Select(code => Text($"{code.Value:N0} {code.Key}{(code.Key == Code.Overloaded ? " (RESOURCE_EXHAUSTED)" : "")}")));

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

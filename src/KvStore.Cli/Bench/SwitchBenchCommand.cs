using System.CommandLine;
using System.Globalization;
using System.Text;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Demo;
using KvStore.Cli.Keyspaces;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench;

/// <summary><c>kv bench switch</c>: on a cluster of its own, how long a keyspace in use takes from cp to ap and back, for how long writes stand still, and how much data moves.</summary>
internal static class SwitchBenchCommand
{
    private const string Keyspace = "switching";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(20);

    private const string Examples =
        """
        kv bench switch
        kv bench switch --keys 1000000 --rounds 3 --settle 30s
        """;

    public static Command Create(CommandHost host)
    {
        var keys = Count("--keys", "Keys in the keyspace, 1 to 10000000. Default: 10000.", 10_000, 1, 10_000_000);
        var rounds = Count("--rounds", "How often there and back, 1 to 100. Default: 5.", 5, 1, 100);
        var concurrency = Count("--concurrency", "Writers during the changes, 1 to 1024. Default: 16.", 16, 1, 1_024);
        var shards = Count("--shards", "Shards of the keyspace, 1 to 64. Default: 8.", 8, 1, 64);
        var settle = new Option<TimeSpan>("--settle")
        {
            Description = "How long to leave the keyspace alone between two changes. Default: 1s.",
            HelpName = "TIME",
            DefaultValueFactory = _ => TimeSpan.FromSeconds(1),
            CustomParser = result => Quantities.ParseTime(result, TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(10)),
        };
        var command = new Command("switch", "Alter a keyspace of a cluster of its own from cp to ap and back under load, and measure time, pause and bytes moved.") { keys, rounds, concurrency, shards, settle };
        return host.Add(command, Examples, context => RunAsync(context, context.Value(keys), context.Value(rounds), context.Value(concurrency), context.Value(shards), context.Value(settle)));
    }

    private static Option<int> Count(string name, string description, int usual, int least, int most) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => usual,
        CustomParser = result => Quantities.ParseCount(result, least, most),
    };

    private static async Task<ExitCode> RunAsync(CommandContext context, int keys, int rounds, int concurrency, int shards, TimeSpan pause)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new CliFailure(ExitCode.Failed, "'kv bench switch' runs on Linux and macOS; on Windows use WSL.");
        }

        var directory = Directory.CreateTempSubdirectory("kv-switch-").FullName;
        try
        {
            await using var cluster = await DemoCluster.StartAsync(context, directory, nodes: 3);
            await cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = Keyspace, Policy = PartitionPolicy.Cp, Replication = Replication.Sync, Shards = shards }, context.Stop);
            await new FailoverRig(cluster, context).UntilLedAsync(Keyspace);
            context.Note(string.Create(CultureInfo.InvariantCulture, $"writing {keys:N0} keys ..."));
            await new KvLoad(cluster.Client.Keyspace(Keyspace), keys, valueSize: 100).FillAsync(256, context.Stop);
            var before = CpuTimes.Read();
            using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.Stop);
            var writers = new Writers(cluster.Client.Keyspace(Keyspace), keys);
            Task[] running = [.. Enumerable.Range(0, concurrency).Select(writer => writers.RunAsync(writer, ending.Token))];
            var open = new List<Change>();
            var ordered = new List<Change>();
            for (var round = 1; round <= rounds; round++)
            {
                open.Add(await ChangeAsync(context, cluster, writers, PartitionPolicy.Ap, pause));
                ordered.Add(await ChangeAsync(context, cluster, writers, PartitionPolicy.Cp, pause));
            }

            await ending.CancelAsync();
            await Task.WhenAll(running);
            context.Line(string.Create(CultureInfo.InvariantCulture, $"{keys:N0} keys of 100 bytes in {shards} shards, {concurrency} writers: {writers.Done:N0} writes done, {writers.Failed:N0} failed"));
            context.Line(Summary("cp to ap", open));
            context.Line(Summary("ap to cp", ordered));
            context.Line(before is { } earlier && CpuTimes.Read() is { } now && now.PercentSince(earlier) is var (busy, steal)
                ? string.Create(CultureInfo.InvariantCulture, $"  machine busy {busy:0} %, steal {steal:0.0} %")
                : "  the machine does not tell its load");
            return writers.Failed == 0 ? ExitCode.Ok : ExitCode.Failed;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<Change> ChangeAsync(CommandContext context, DemoCluster cluster, Writers writers, PartitionPolicy policy, TimeSpan settling)
    {
        using var settle = new PeriodicTimer(settling);
        await settle.WaitForNextTickAsync(context.Stop);
        var bytes = await BulkBytesAsync(cluster, context);
        writers.ForgetGap();
        var begin = TimeProvider.System.GetTimestamp();
        await cluster.Client.Admin.AlterKeyspaceAsync(Keyspace, new KvKeyspaceChange { Policy = policy }, context.Stop);
        var decided = TimeProvider.System.GetElapsedTime(begin);
        using var timer = new PeriodicTimer(Look);
        KeyspaceProgress progress;
        do
        {
            progress = await cluster.Client.Admin.AlterProgressAsync(Keyspace, context.Stop);
            if (TimeProvider.System.GetElapsedTime(begin) > Patience)
            {
                throw new CliFailure(ExitCode.Failed, $"The keyspace was still on its way after {Quantities.Describe(Patience)}: {KeyspaceOutput.Summary(progress)}.");
            }
        }
        while (!progress.Done && await timer.WaitForNextTickAsync(context.Stop));

        var took = TimeProvider.System.GetElapsedTime(begin);
        var pause = policy == PartitionPolicy.Cp ? progress.Shards.Max(shard => shard.PauseMs) : 0;
        var change = new Change(took.TotalMilliseconds, pause, writers.LongestGap.TotalMilliseconds, (await BulkBytesAsync(cluster, context) - bytes) / 1_024.0);
        context.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"to {KeyspaceOutput.Name(policy)}: decided after {decided.TotalMilliseconds:0} ms, all shards after {change.TookMs:0} ms, longest pause of a shard {pause} ms, longest time without an acknowledged write {change.GapMs:0} ms, {change.BulkKiB:0.0} KiB moved"));
        return change;
    }

    /// <summary>Snapshots, anti-entropy and what a baseline needs go on streams of their own; ordinary writes don't.</summary>
    private static async Task<long> BulkBytesAsync(DemoCluster cluster, CommandContext context)
    {
        long sum = 0;
        foreach (var node in cluster.Nodes)
        {
            sum += (await cluster.Client.Admin.NodeStatusAsync(node.Node, cancellationToken: context.Stop)).Peers.Sum(peer => (long)peer.BulkSentBytes);
        }

        return sum;
    }

    private static string Summary(string what, List<Change> changes) => string.Create(
        CultureInfo.InvariantCulture,
        $"{what}: median {Median(changes, change => change.TookMs):0} ms, max {changes.Max(change => change.TookMs):0} ms; pause of a shard median {Median(changes, change => change.PauseMs):0} ms, max {changes.Max(change => change.PauseMs):0} ms; longest time without an acknowledged write {changes.Max(change => change.GapMs):0} ms; moved median {Median(changes, change => change.BulkKiB):0.0} KiB, max {changes.Max(change => change.BulkKiB):0.0} KiB ({changes.Count} runs)");

    private static double Median(List<Change> changes, Func<Change, double> of) => changes.Select(of).Order().ElementAt(changes.Count / 2);

    /// <param name="TookMs">From the call until every shard works in the new mode.</param>
    /// <param name="PauseMs">The longest time for which the leader of a shard had writes wait.</param>
    /// <param name="GapMs">The longest time without any acknowledged write, over all writers.</param>
    /// <param name="BulkKiB">Bytes sent between nodes on the streams for bulk data.</param>
    private sealed record Change(double TookMs, double PauseMs, double GapMs, double BulkKiB);

    /// <summary>Writes random keys as fast as answers come, and notes the longest time without one.</summary>
    private sealed class Writers(IKvKeyspace keyspace, int keys)
    {
        private readonly Lock _gate = new();
        private readonly byte[] _value = new byte[100];
        private long _last = TimeProvider.System.GetTimestamp();
        private TimeSpan _longestGap;

        public long Done { get; private set; }

        public long Failed { get; private set; }

        /// <summary>The one that is not over yet counts as well.</summary>
        public TimeSpan LongestGap
        {
            get
            {
                lock (_gate)
                {
                    var open = TimeProvider.System.GetElapsedTime(_last);
                    return open > _longestGap ? open : _longestGap;
                }
            }
        }

        public void ForgetGap()
        {
            lock (_gate)
            {
                _longestGap = TimeSpan.Zero;
            }
        }

        public async Task RunAsync(int writer, CancellationToken end)
        {
            var random = new Random(writer);
            while (!end.IsCancellationRequested)
            {
                KvKey key = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"bench-{random.Next(keys):D10}"));
                try
                {
                    await keyspace.PutAsync(key, _value, cancellationToken: CancellationToken.None);
                    Note(done: true);
                }
                catch (KvException)
                {
                    Note(done: false);
                }
            }
        }

        private void Note(bool done)
        {
            lock (_gate)
            {
                Done += done ? 1 : 0;
                Failed += done ? 0 : 1;
                if (done)
                {
                    var now = TimeProvider.System.GetTimestamp();
                    var gap = TimeProvider.System.GetElapsedTime(_last, now);
                    _longestGap = gap > _longestGap ? gap : _longestGap;
                    _last = now;
                }
            }
        }
    }
}

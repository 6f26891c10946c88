using KvStore.Cli.Bench.Load;
using KvStore.Cli.LocalCluster;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Benchmarks.Compare;

/// <summary>
/// What a change to the nodes is worth: a cluster of this build beside one of another build, or with other variables in its nodes' environment, driven in turns by one generator. Both run all the time, so that whatever else the machine does
/// hits both. The ratio is that of the changed one to the one as it is. <c>duel --help</c> shows the options.
/// </summary>
internal sealed class Duel(DuelOptions options, TextWriter output)
{
    private static readonly TimeSpan FirstWarmUp = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan WarmUp = TimeSpan.FromMilliseconds(300);

    public static async Task<int> RunAsync(string[] arguments, TextWriter output)
    {
        if (DuelOptions.Parse(arguments) is not { } options)
        {
            output.WriteLine(DuelOptions.Usage);
            return 2;
        }

        using CancellationTokenSource stop = new();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            stop.Cancel();
        };
        DirectoryInfo directory = Directory.CreateTempSubdirectory("kv-duel-");
        try
        {
            await new Duel(options, output).RunAsync(directory.FullName, stop.Token);
            return 0;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return 130;
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private async Task RunAsync(string directory, CancellationToken stop)
    {
        string own = Path.Combine(AppContext.BaseDirectory, "kv.dll");
        await using KvCluster asIs = await KvCluster.StartAsync(Path.Combine(directory, "as-is"), own, [], ConsecutivePorts.Find(3), stop);
        await using KvCluster changed = await KvCluster.StartAsync(Path.Combine(directory, "changed"), options.Program ?? own, options.Variables, ConsecutivePorts.Find(3), stop);
        List<Cell> cells = [];
        foreach (string group in options.Groups)
        {
            (KvLoad usual, KvLoad altered) = (await LoadAsync(asIs, group, stop), await LoadAsync(changed, group, stop));
            cells.AddRange(options.Concurrency.Select(concurrency => new Cell(
                group, concurrency, new Side(group, Operation(altered, group)), new Side("as it is", Operation(usual, group)), GoalKind.ThroughputAtLeast, 1)));
        }

        foreach (Cell cell in cells)
        {
            await RunAsync(cell.Ours, cell.Concurrency, FirstWarmUp, stop);
            await RunAsync(cell.Peer, cell.Concurrency, FirstWarmUp, stop);
        }

        MachineLoad before = MachineLoad.Now();
        for (int round = 0; round < options.Rounds; round++)
        {
            foreach (Cell cell in cells)
            {
                Reading first = await MeasureAsync(round % 2 == 0 ? cell.Ours : cell.Peer, cell.Concurrency, stop);
                Reading second = await MeasureAsync(round % 2 == 0 ? cell.Peer : cell.Ours, cell.Concurrency, stop);
                cell.Add(round % 2 == 0 ? first : second, round % 2 == 0 ? second : first);
            }
        }

        output.WriteLine($"Changed: {options.Describe()}. {options.Rounds} rounds, turns of {options.Turn.TotalSeconds:0.#} s. {MachineLoad.Now().Since(before)}");
        output.WriteLine();
        output.WriteLine("| operation | changed | as it is | ratio | of the rounds | goal | met |");
        output.WriteLine("|---|---|---|---|---|---|---|");
        cells.ForEach(cell => output.WriteLine(cell.Row()));
    }

    private static Task<KvLoad> LoadAsync(KvCluster cluster, string group, CancellationToken stop) => group switch
    {
        "cp-put" or "cp-get" => cluster.LoadAsync(new KvKeyspaceSettings { Name = group, Policy = PartitionPolicy.Cp, Replication = Replication.Sync }, KvReadLevel.Linearizable, stop),
        "ap-put" or "eventual-get" => cluster.LoadAsync(new KvKeyspaceSettings { Name = group, Policy = PartitionPolicy.Ap, Replication = Replication.Async }, KvReadLevel.Eventual, stop),
        _ => cluster.LoadAsync(
            new KvKeyspaceSettings { Name = group, Policy = PartitionPolicy.Ap, Replication = Replication.BestEffort, Durability = Durability.Memory }, KvReadLevel.Eventual, stop),
    };

    private static LoadOperation Operation(KvLoad load, string group) => group.EndsWith("get", StringComparison.Ordinal) ? load.GetAsync : load.PutAsync;

    private async Task<Reading> MeasureAsync(Side side, int concurrency, CancellationToken stop)
    {
        await RunAsync(side, concurrency, WarmUp, stop);
        LoadReport report = await RunAsync(side, concurrency, options.Turn, stop);
        return new Reading(report.PerSecond, report.Percentile(50).TotalMicroseconds, report.FailedCount + report.UnknownCount);
    }

    private static async Task<LoadReport> RunAsync(Side side, int concurrency, TimeSpan duration, CancellationToken stop)
    {
        LoadReport report = await new LoadGenerator(new LoadPlan { Concurrency = concurrency, Duration = duration }, side.Operation).RunAsync(null, stop);
        stop.ThrowIfCancellationRequested();
        return report;
    }
}

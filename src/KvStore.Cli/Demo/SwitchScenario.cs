using System.Globalization;
using KvStore.Cli.Bench;
using KvStore.Cli.Keyspaces;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary>
/// A keyspace that is in use goes from cp to ap and back, twice, under load. One replica is cut off after the first change, hears of none of the others, and takes writes all the while. At the end everything
/// that clients were told is checked.
/// </summary>
internal sealed class SwitchScenario(DemoCluster cluster, Narrator narrator, CancellationToken stop) : IScenario
{
    private const string Orders = "orders";

    /// <summary>How long to wait for what takes a second or two on an idle machine.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan Chapter = TimeSpan.FromSeconds(1);

    private readonly HistoryRecorder _before = new();
    private readonly RecordedTraffic _throughout = new(cluster, Orders, new HistoryRecorder(), "live-");
    private readonly HistoryRecorder _after = new();
    private readonly List<TimeSpan> _switches = [];
    private ulong _longestPauseMs;

    private uint Island => cluster.Nodes[^1].Node;

    private uint[] Mainland => [.. cluster.Nodes.Select(node => node.Node).Where(node => node != Island)];

    /// <summary>What clients did before the first change.</summary>
    public History History => _before.ToHistory();

    public async Task<bool> RunAsync()
    {
        narrator.Step("A keyspace that is strict: cp, sync");
        await cluster.Client.Admin.CreateKeyspaceAsync(
            new KvKeyspaceSettings { Name = Orders, Policy = PartitionPolicy.Cp, Replication = Replication.Sync, Shards = 1, Replicas = cluster.Nodes.Count }, stop);
        var island = cluster.Node(Island);
        await UntilAsync(async () => (await island.PutAsync(Orders, "hello", "world", null, stop)).IsDone, "the keyspace to serve");
        await RunWhileAsync(new RecordedTraffic(cluster, Orders, _before, "strict-"), Chapter, "clients at every node, linearizable so far");

        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var running = _throughout.RunAsync(ending.Token);
        try
        {
            await AlterAsync("cp to ap, while clients write", PartitionPolicy.Ap, _throughout);
            await CutOffAsync(_throughout);
            await AlterAsync($"ap to cp, without node {Island}", PartitionPolicy.Cp, _throughout);
            await AlterAsync($"cp to ap, without node {Island}", PartitionPolicy.Ap, _throughout);
            await ReturnAsync(_throughout);
            await AlterAsync("ap to cp, with everybody", PartitionPolicy.Cp, _throughout);
        }
        finally
        {
            await ending.CancelAsync();
            await running;
        }

        await RunWhileAsync(new RecordedTraffic(cluster, Orders, _after, "again-"), Chapter, "clients at every node, linearizable again");
        return await JudgeAsync();
    }

    private async Task RunWhileAsync(RecordedTraffic traffic, TimeSpan time, string what)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var running = traffic.RunAsync(ending.Token);
        await PauseAsync(time);
        await ending.CancelAsync();
        await running;
        narrator.Say($"{what}: {traffic.CountOf(cluster.Nodes.Select(node => node.Node))}");
    }

    private async Task AlterAsync(string title, PartitionPolicy policy, RecordedTraffic traffic)
    {
        narrator.Step($"kv keyspace alter {Orders} --policy {KeyspaceOutput.Name(policy)}: {title}");
        var before = traffic.CountOf(Mainland);
        var begin = TimeProvider.System.GetTimestamp();
        await cluster.Client.Admin.AlterKeyspaceAsync(Orders, new KvKeyspaceChange { Policy = policy }, stop);
        var progress = await cluster.Client.Admin.WaitForAlterationAsync(Orders, Deadline, cancellationToken: stop);
        var took = TimeProvider.System.GetElapsedTime(begin);
        if (!progress.Done)
        {
            throw new CliFailure(ExitCode.Failed, $"The keyspace was still on its way after {Quantities.Describe(Deadline)}: {KeyspaceOutput.Summary(progress)}.");
        }

        _switches.Add(took);
        var shard = progress.Shards[0];
        narrator.Good(string.Create(CultureInfo.InvariantCulture, $"epoch {shard.Epoch}, {shard.Regime.ToString().ToLowerInvariant()}, after {took.TotalMilliseconds:0} ms; bound: {string.Join(" ", shard.Bound)}"));
        if (policy == PartitionPolicy.Cp)
        {
            _longestPauseMs = Math.Max(_longestPauseMs, shard.PauseMs);
            narrator.Say($"writes waited for {shard.PauseMs} ms while the replicas became equal");
        }

        if (shard.Unbound.Count > 0)
        {
            narrator.Notice($"not bound: node {string.Join(" ", shard.Unbound)}. It has not heard, and goes on as before.");
        }

        narrator.Say($"what clients were told meanwhile: {traffic.CountOf(Mainland) - before}");
    }

    private async Task CutOffAsync(RecordedTraffic traffic)
    {
        narrator.Step($"Node {Island} is cut off, and its clients go on writing there");
        await cluster.PartitionAsync([Island], Mainland, stop);
        var alone = await UntilAsync(() => traffic.PutAsync(cluster.Node(Island), "ina", "island", "island: tea", stop), answer => answer.IsDone && answer.Acknowledgements == 1, "the cut-off node to notice");
        var other = await traffic.PutAsync(cluster.Node(Mainland[0]), "max", "island", "mainland: milk", stop);
        narrator.Good($"node {Island}: \"island: tea\", done in {BenchReport.Time(alone.Took)} on {alone.Acknowledgements} replica");
        narrator.Good($"node {Mainland[0]}: \"mainland: milk\", done in {BenchReport.Time(other.Took)} on {other.Acknowledgements} replicas");
    }

    private async Task ReturnAsync(RecordedTraffic traffic)
    {
        var written = traffic.CountOf([Island]);
        narrator.Step($"Node {Island} returns after two changes that it has not heard of");
        await cluster.HealAsync(stop);
        var begin = TimeProvider.System.GetTimestamp();
        var met = await UntilAsync(
            () => cluster.Node(Mainland[0]).GetAsync(Orders, "island", ReadLevel.Unspecified, stop), answer => answer.Values.Contains("island: tea"), "what the cut-off node took to arrive");
        narrator.Good($"{BenchReport.Time(TimeProvider.System.GetElapsedTime(begin))} later node {Mainland[0]} reads {string.Join(" and ", met.Values.Select(value => $"\"{value}\""))}");
        narrator.Say($"clients of node {Island} so far: {written}");
    }

    private async Task<bool> JudgeAsync()
    {
        narrator.Step("The verdict on everything that clients were told");
        var live = _throughout.ToHistory();
        var keys = live.Operations.Select(operation => operation.Key).Distinct().ToArray();
        var dumps = await Convergence.WaitAsync(cluster, Orders, keys, Deadline, stop);
        var equal = ConvergenceChecker.Check(dumps);
        var faults = AcknowledgedWriteChecker.Check(live, dumps[0]);
        var before = LinearizabilityChecker.Check(_before.ToHistory(), cancel: stop);
        var after = LinearizabilityChecker.Check(_after.ToHistory(), cancel: stop);

        narrator.Verdict(string.Create(CultureInfo.InvariantCulture, $"changes of policy: {_switches.Count}, the longest took {_switches.Max().TotalMilliseconds:0} ms, writes waited {_longestPauseMs} ms at most"), holds: true);
        narrator.Verdict(Told("linearizable before", before, _before), before.Verdict == LinearizabilityVerdict.Linearizable);
        narrator.Verdict(Told("linearizable after", after, _after), after.Verdict == LinearizabilityVerdict.Linearizable);
        narrator.Verdict(equal.Converged ? "replicas equal: yes" : $"replicas equal: no. {equal.Differences[0]}", equal.Converged);
        narrator.Verdict(
            faults.Count == 0 ? string.Create(CultureInfo.InvariantCulture, $"acknowledged writes lost: none ({live.Operations.Count} operations through all changes)") : $"acknowledged writes: {faults[0]}", faults.Count == 0);
        return before.Verdict == LinearizabilityVerdict.Linearizable && after.Verdict == LinearizabilityVerdict.Linearizable && equal.Converged && faults.Count == 0;
    }

    private static string Told(string what, LinearizabilityResult result, HistoryRecorder recorder) => result.Verdict == LinearizabilityVerdict.Linearizable
        ? string.Create(CultureInfo.InvariantCulture, $"{what}: yes ({recorder.Count} operations)")
        : $"{what}: {(result.Verdict == LinearizabilityVerdict.Unknown ? "unknown" : "no")}. {result.Explanation}";

    private async Task PauseAsync(TimeSpan time)
    {
        using var timer = new PeriodicTimer(time);
        await timer.WaitForNextTickAsync(stop);
    }

    private Task UntilAsync(Func<Task<bool>> ask, string what) => UntilAsync(ask, answer => answer, what);

    /// <summary>Asks until the answer is the expected one.</summary>
    /// <exception cref="CliFailure">The deadline passed.</exception>
    private async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> expected, string what)
    {
        using var retry = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        var begin = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var answer = await ask();
            if (expected(answer))
            {
                return answer;
            }

            if (TimeProvider.System.GetElapsedTime(begin) > Deadline)
            {
                throw new CliFailure(ExitCode.Failed, $"Waited {Quantities.Describe(Deadline)} for {what}, in vain; the last answer was: {answer}");
            }

            await retry.WaitForNextTickAsync(stop);
        }
    }
}

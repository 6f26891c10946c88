using System.Globalization;
using KvStore.Cli.Bench;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary>
/// A network splits in two. The cp keyspace goes on where there is a majority and refuses at once where there is none; the ap keyspace goes on everywhere and keeps
/// both sides' writes. All that clients did is recorded and checked at the end.
/// </summary>
internal sealed class SplitBrainScenario(DemoCluster cluster, Narrator narrator, CancellationToken stop) : IScenario
{
    private const string Ordered = "accounts";

    private const string Open = "carts";

    private const string Conflict = "cart-of-anna";

    /// <summary>How long to wait for what takes a second or two on an idle machine.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan Chapter = TimeSpan.FromSeconds(2);

    private readonly HistoryRecorder _orderedHistory = new();
    private readonly HistoryRecorder _openHistory = new();

    private uint[] Minority => [.. cluster.Nodes.Select(node => node.Node).Take((cluster.Nodes.Count - 1) / 2)];

    private uint[] Majority => [.. cluster.Nodes.Select(node => node.Node).Skip((cluster.Nodes.Count - 1) / 2)];

    /// <summary>What clients of the ordered keyspace did.</summary>
    public History History => _orderedHistory.ToHistory();

    public async Task<bool> RunAsync()
    {
        await CreateKeyspacesAsync();
        var ordered = new RecordedTraffic(cluster, Ordered, _orderedHistory);
        var open = new RecordedTraffic(cluster, Open, _openHistory);
        using var endingOrdered = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using var endingOpen = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var orderedRuns = ordered.RunAsync(endingOrdered.Token);
        var openRuns = open.RunAsync(endingOpen.Token);
        TimeSpan? converged;
        try
        {
            await TrafficAsync(ordered, open);
            await SplitAsync(ordered, open);

            // Replicas that are being written to differ all the time: how long they take to agree can be measured only when writes have ended.
            await endingOpen.CancelAsync();
            await openRuns;
            converged = await HealAsync(ordered);
        }
        finally
        {
            await endingOpen.CancelAsync();
            await endingOrdered.CancelAsync();
            await Task.WhenAll(orderedRuns, openRuns);
        }

        await ResolveAsync(open);
        return await JudgeAsync(converged);
    }

    private async Task CreateKeyspacesAsync()
    {
        narrator.Step("Two keyspaces, two promises");
        foreach (var (name, policy, replication) in new[] { (Ordered, PartitionPolicy.Cp, Replication.Sync), (Open, PartitionPolicy.Ap, Replication.Async) })
        {
            await cluster.Client.Admin.CreateKeyspaceAsync(
                new KvKeyspaceSettings { Name = name, Policy = policy, Replication = replication, Shards = 1, Replicas = cluster.Nodes.Count }, stop);
        }

        foreach (var node in cluster.Nodes)
        {
            await UntilAsync(
                async () => (await node.PutAsync(Ordered, "hello", "world", null, stop)).IsDone && (await node.PutAsync(Open, "hello", "world", null, stop)).IsDone,
                $"node {node.Node} to serve both keyspaces");
        }

        narrator.Say($"{Ordered}: cp, sync.  Linearizable; only a majority may answer.");
        narrator.Say($"{Open}:    ap, async. Everyone answers; concurrent values are kept, not lost.");
    }

    private async Task TrafficAsync(RecordedTraffic ordered, RecordedTraffic open)
    {
        narrator.Step("Clients at every node read and write; every operation is recorded");
        var cart = await open.PutAsync(cluster.Node(Minority[0]), "anna", Conflict, "bread", stop);
        await PauseAsync(Chapter);
        narrator.Say($"{Ordered}: {ordered.CountOf([.. Minority, .. Majority])}");
        narrator.Say($"{Open}:    {open.CountOf([.. Minority, .. Majority])}");
        narrator.Say($"Anna's cart: {(cart.IsDone ? "bread" : cart.Reason)}");
    }

    private async Task SplitAsync(RecordedTraffic ordered, RecordedTraffic open)
    {
        narrator.Step($"The network breaks: {Names(Minority)} | {Names(Majority)}");
        var cut = TimeProvider.System.GetTimestamp();
        await cluster.PartitionAsync(Minority, Majority, stop);
        var left = cluster.Node(Minority[0]);
        var right = cluster.Node(Majority[^1]);
        var refusing = SinceAsync(cut, UntilAsync(
            () => ordered.PutAsync(left, "probe", "probe-left", $"left-{Guid.NewGuid():N}", stop),
            answer => answer.Outcome == Outcome.NotDone,
            "the minority to notice that it is one"));
        var serving = SinceAsync(cut, UntilAsync(
            () => ordered.PutAsync(right, "probe", "probe-right", $"right-{Guid.NewGuid():N}", stop), answer => answer.IsDone, "the majority to have a leader"));
        var (refusal, noticed) = await refusing;
        var (success, led) = await serving;

        narrator.Notice($"{Ordered}, node {left.Node}: refused {BenchReport.Time(noticed)} after the cut: {refusal.Reason}");
        narrator.Good($"{Ordered}, node {right.Node}: done {BenchReport.Time(led)} after the cut, on {success.Acknowledgements} replicas");
        refusal = await ordered.PutAsync(left, "probe", "probe-left", "left-last", stop);
        success = await ordered.PutAsync(right, "probe", "probe-right", "right-last", stop);
        narrator.Say($"once more: node {left.Node} refuses in {BenchReport.Time(refusal.Took)}, node {right.Node}: {Told(success, "a write")}");

        var one = await open.PutAsync(left, "anna", Conflict, "bread, tea", stop);
        var other = await open.PutAsync(right, "ben", Conflict, "bread, milk", stop);
        narrator.Good($"{Open},    node {left.Node}: {Told(one, "\"bread, tea\"")}");
        narrator.Good($"{Open},    node {right.Node}: {Told(other, "\"bread, milk\"")}");

        var before = (Left: ordered.CountOf(Minority), Right: ordered.CountOf(Majority), OpenLeft: open.CountOf(Minority), OpenRight: open.CountOf(Majority));
        await PauseAsync(Chapter);
        narrator.Say(string.Create(CultureInfo.InvariantCulture, $"{Chapter.TotalSeconds:0} more seconds of traffic:"));
        narrator.Say($"  {Ordered}  minority {ordered.CountOf(Minority) - before.Left};  majority {ordered.CountOf(Majority) - before.Right}");
        narrator.Say($"  {Open}     minority {open.CountOf(Minority) - before.OpenLeft};  majority {open.CountOf(Majority) - before.OpenRight}");
    }

    /// <summary>Returns how long after the heal all replicas of the open keyspace held the same; null if they did not within the deadline.</summary>
    private async Task<TimeSpan?> HealAsync(RecordedTraffic ordered)
    {
        narrator.Step("The network heals");
        var begin = TimeProvider.System.GetTimestamp();
        await cluster.HealAsync(stop);
        var agreement = AgreeAsync(begin);
        var left = cluster.Node(Minority[0]);
        await UntilAsync(
            () => ordered.PutAsync(left, "probe", "probe-left", $"healed-{Guid.NewGuid():N}", stop), answer => answer.IsDone, "the former minority to serve again");
        narrator.Good($"{Ordered}, node {left.Node}: serves again {BenchReport.Time(TimeProvider.System.GetElapsedTime(begin))} after the heal");
        var converged = await agreement;
        narrator.Say(converged is { } took
            ? $"{Open}:    all replicas hold the same {BenchReport.Time(took)} after the heal"
            : $"{Open}:    the replicas still differ {Quantities.Describe(Deadline)} after the heal");
        return converged;
    }

    private async Task<TimeSpan?> AgreeAsync(long healed)
    {
        var dumps = await Convergence.WaitAsync(cluster, Open, OpenKeys, Deadline, stop);
        return ConvergenceChecker.Check(dumps).Converged ? TimeProvider.System.GetElapsedTime(healed) : null;
    }

    private async Task ResolveAsync(RecordedTraffic open)
    {
        narrator.Step("The conflict: kept, then settled by whoever knows what it means");
        var node = cluster.Node(Majority[0]);
        var read = await UntilAsync(() => open.GetAsync(node, "anna", Conflict, stop), answer => answer.Values.Count > 1, "both carts to meet");
        narrator.Notice($"Anna's cart has {read.Values.Count} values: {string.Join(" and ", read.Values.Select(value => $"\"{value}\""))}. Neither side's write was lost.");
        var settled = await open.PutAsync(node, "anna", Conflict, "bread, milk, tea", stop, seen: read);
        narrator.Good($"put \"bread, milk, tea\" in the context of both: {Told(settled, "one value again")}");
    }

    private async Task<bool> JudgeAsync(TimeSpan? agreedAfter)
    {
        narrator.Step("The verdict on everything that clients were told");
        var dumps = await Convergence.WaitAsync(cluster, Open, OpenKeys, Deadline, stop);
        var converged = ConvergenceChecker.Check(dumps);
        var faults = AcknowledgedWriteChecker.Check(_openHistory.ToHistory(), dumps[0]);
        var ordered = LinearizabilityChecker.Check(History, cancel: stop);

        var linearizable = ordered.Verdict == LinearizabilityVerdict.Linearizable;
        narrator.Verdict(faults.Count == 0 ? "acknowledged writes lost: none" : $"acknowledged writes: {faults[0]}", faults.Count == 0);
        narrator.Verdict(
            linearizable
                ? string.Create(CultureInfo.InvariantCulture, $"linearizable: yes ({_orderedHistory.Count} operations)")
                : $"linearizable: {(ordered.Verdict == LinearizabilityVerdict.Unknown ? "unknown" : "no")}. {ordered.Explanation}",
            linearizable);
        narrator.Verdict(
            (converged.Converged, agreedAfter) switch
            {
                (false, _) => $"converged: no. {converged.Differences[0]}",
                (true, null) => $"converged: no. It took more than {Quantities.Describe(Deadline)} from the heal on.",
                (true, { } took) => string.Create(CultureInfo.InvariantCulture, $"converged: yes ({took.TotalMilliseconds:0} ms)"),
            },
            converged.Converged && agreedAfter is not null);
        return linearizable && converged.Converged && agreedAfter is not null && faults.Count == 0;
    }

    private static string[] OpenKeys => [Conflict, .. Enumerable.Range(0, RecordedTraffic.Keys).Select(RecordedTraffic.Key)];

    private static string Names(uint[] nodes) => string.Join(' ', nodes);

    private static string Told(PinnedAnswer answer, string what) => answer.IsDone
        ? $"{what}, done in {BenchReport.Time(answer.Took)}"
        : $"not done: {answer.Reason}";

    /// <summary>Lets the traffic run for a while.</summary>
    private async Task PauseAsync(TimeSpan time)
    {
        using var timer = new PeriodicTimer(time);
        await timer.WaitForNextTickAsync(stop);
    }

    private static async Task<(PinnedAnswer Answer, TimeSpan After)> SinceAsync(long begin, Task<PinnedAnswer> asking)
    {
        var answer = await asking;
        return (answer, TimeProvider.System.GetElapsedTime(begin));
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

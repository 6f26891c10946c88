using System.Globalization;
using KvStore.Cli.Bench;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary>
/// Two nodes are cut off from an adaptive keyspace. The majority goes on, linearizable; the two go on provisionally, and say so with every answer. After the heal their writes are merged through the log: keys
/// that nobody else had touched simply take them, of those that both sides wrote both values are kept. All that clients did is recorded and checked at the end.
/// </summary>
internal sealed class AdaptiveScenario(DemoCluster cluster, Narrator narrator, CancellationToken stop) : IScenario
{
    private const string Keyspace = "profiles";

    private const string Conflict = "cart-of-anna";

    private const int Notes = 5;

    /// <summary>How long to wait for what takes a few seconds on an idle machine.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan Chapter = TimeSpan.FromSeconds(2);

    private readonly RecordedTraffic _traffic = new(cluster, Keyspace, new HistoryRecorder());
    private readonly List<string> _broken = [];

    /// <summary>What clients did, with the merges as writes.</summary>
    public History History => _traffic.ToHistory();

    private uint[] Minority => [.. cluster.Nodes.Select(node => node.Node).Take((cluster.Nodes.Count - 1) / 2)];

    private uint[] Majority => [.. cluster.Nodes.Select(node => node.Node).Skip((cluster.Nodes.Count - 1) / 2)];

    /// <summary>Plays it, and says whether everything that was promised held.</summary>
    public async Task<bool> RunAsync()
    {
        await CreateKeyspaceAsync();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var runs = _traffic.RunAsync(ending.Token);
        try
        {
            narrator.Step("Clients at every node read and write; every operation is recorded");
            await PauseAsync(Chapter);
            narrator.Say($"{_traffic.CountOf([.. Minority, .. Majority])}");
            await SplitAsync(_traffic);
            await HealAsync();
            await PauseAsync(Chapter);
        }
        finally
        {
            await ending.CancelAsync();
            await runs;
        }

        await ShowMergeAsync();
        return await JudgeAsync();
    }

    private async Task CreateKeyspaceAsync()
    {
        narrator.Step("One keyspace, adaptive");
        await cluster.Client.Admin.CreateKeyspaceAsync(
            new KvKeyspaceSettings { Name = Keyspace, Policy = PartitionPolicy.Adaptive, Replication = Replication.Sync, Shards = 1, Replicas = cluster.Nodes.Count }, stop);
        foreach (var node in cluster.Nodes)
        {
            await UntilAsync(() => node.PutAsync(Keyspace, "hello", "world", null, stop), answer => answer is { IsDone: true, IsProvisional: false }, $"node {node.Node} to serve the keyspace");
        }

        await UntilAsync(() => cluster.Node(1).PutAsync(Keyspace, Conflict, "bread", null, stop), answer => answer.IsDone, "the first write of Anna's cart");
        narrator.Say($"{Keyspace}: adaptive, sync, {cluster.Nodes.Count} replicas. Linearizable with a majority; provisional without.");
    }

    private async Task SplitAsync(RecordedTraffic traffic)
    {
        narrator.Step($"The network breaks: {Names(Minority)} | {Names(Majority)}");
        var cut = TimeProvider.System.GetTimestamp();
        await cluster.PartitionAsync(Minority, Majority, stop);
        var left = cluster.Node(Minority[0]);
        var right = cluster.Node(Majority[^1]);
        var provisional = SinceAsync(cut, UntilAsync(() => left.PutAsync(Keyspace, Note(0), "left 0", null, stop), answer => answer is { IsDone: true, IsProvisional: true }, "provisional service"));
        var serving = SinceAsync(cut, UntilAsync(() => right.PutAsync(Keyspace, "probe", "right", null, stop), answer => answer is { IsDone: true, IsProvisional: false }, "the majority to have a leader"));
        var (success, led) = await serving;
        narrator.Good($"node {right.Node}: done {BenchReport.Time(led)} after the cut, on {success.Acknowledgements} replicas");
        var (taken, after) = await provisional;
        narrator.Notice($"node {left.Node}: done, provisional, {BenchReport.Time(after)} after the cut, on {taken.Acknowledgements} replicas");
        for (var note = 1; note < Notes; note++)
        {
            Expect((await left.PutAsync(Keyspace, Note(note), $"left {note}", null, stop)).IsProvisional, $"{Note(note)} was taken provisionally");
        }

        Expect((await left.PutAsync(Keyspace, Conflict, "bread, tea", null, stop)).IsProvisional, "Anna's cart was written provisionally");
        Expect((await right.PutAsync(Keyspace, Conflict, "bread, milk", null, stop)).IsDone, "Anna's cart was written on the majority's side");
        narrator.Say($"Anna's cart: node {left.Node} takes \"bread, tea\", node {right.Node} takes \"bread, milk\"");
        var read = await cluster.Node(Minority[^1]).GetAsync(Keyspace, Conflict, ReadLevel.Unspecified, stop);
        narrator.Say($"read at node {Minority[^1]}: {string.Join(" and ", read.Values)} ({(read.IsProvisional ? "provisional: it has the other's write" : read.Reason)})");
        var refused = await left.PutIfAbsentAsync(Keyspace, "lock", "me", stop);
        Expect(refused.Code == Code.ProvisionalRefused, "a conditional write is refused without a majority");
        narrator.Notice($"a conditional write at node {left.Node}: {refused.Reason}");
        var before = (Left: traffic.CountOf(Minority), Right: traffic.CountOf(Majority));
        await PauseAsync(Chapter);
        narrator.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{Chapter.TotalSeconds:0} more seconds of traffic: minority {traffic.CountOf(Minority) - before.Left} (provisionally); majority {traffic.CountOf(Majority) - before.Right}"));
        narrator.Say($"waiting to be merged: {await DescribeOverlaysAsync()}");
    }

    private async Task HealAsync()
    {
        narrator.Step("The network heals");
        var begin = TimeProvider.System.GetTimestamp();
        await cluster.HealAsync(stop);
        await UntilAsync(
            async () => (await Task.WhenAll(cluster.Nodes.Select(node => StatusAsync(node.Node)))).All(status => status is { OverlayKeys: 0, Regime: Regime.Ordered }),
            holds => holds,
            "all overlays to be merged");
        narrator.Good($"every overlay is merged and every node ordered again {BenchReport.Time(TimeProvider.System.GetElapsedTime(begin))} after the heal");
    }

    private async Task ShowMergeAsync()
    {
        narrator.Step("What became of the minority's writes");
        var node = cluster.Node(Majority[0]);
        for (var note = 0; note < Notes; note++)
        {
            var read = await UntilAsync(() => node.GetAsync(Keyspace, Note(note), ReadLevel.Linearizable, stop), answer => answer.IsDone, "a linearizable read");
            Expect(read.Values is [var value] && value == $"left {note}", $"{Note(note)} has the minority's value");
        }

        narrator.Good($"{Notes} notes that only the minority wrote: there, read linearizably on the majority's side");
        var cart = await UntilAsync(() => node.GetAsync(Keyspace, Conflict, ReadLevel.Linearizable, stop), answer => answer.IsDone, "a linearizable read");
        Expect(cart.Values.Count == 2, "Anna's cart has both values");
        narrator.Notice($"Anna's cart has {cart.Values.Count} values: {string.Join(" and ", cart.Values.Select(value => $"\"{value}\""))}. Neither side's write was lost.");
        var settled = await UntilAsync(() => node.PutAsync(Keyspace, Conflict, "bread, milk, tea", null, stop), answer => answer.IsDone, "a write");
        var after = await UntilAsync(() => node.GetAsync(Keyspace, Conflict, ReadLevel.Linearizable, stop), answer => answer.IsDone, "a linearizable read");
        Expect(settled.IsDone && after.Values is ["bread, milk, tea"], "one plain write settles it");
        narrator.Good("put \"bread, milk, tea\": one value again");
    }

    private async Task<bool> JudgeAsync()
    {
        narrator.Step("The verdict on everything that clients were told");
        var ordered = LinearizabilityChecker.Check(History, cancel: stop);
        string[] keys = [Conflict, .. Enumerable.Range(0, Notes).Select(Note), .. Enumerable.Range(0, RecordedTraffic.Keys).Select(RecordedTraffic.Key)];
        var dumps = await Convergence.WaitAsync(cluster, Keyspace, keys, Deadline, stop);
        var converged = ConvergenceChecker.Check(dumps);
        var linearizable = ordered.Verdict == LinearizabilityVerdict.Linearizable;
        narrator.Verdict(_broken.Count == 0 ? "provisional writes lost: none" : $"it did not hold that {_broken[0]}", _broken.Count == 0);
        narrator.Verdict(
            linearizable
                ? string.Create(CultureInfo.InvariantCulture, $"linearizable, merges included: yes ({History.Operations.Count} operations)")
                : $"linearizable, merges included: {(ordered.Verdict == LinearizabilityVerdict.Unknown ? "unknown" : "no")}. {ordered.Explanation}",
            linearizable);
        narrator.Verdict(converged.Converged ? "converged: yes" : $"converged: no. {converged.Differences[0]}", converged.Converged);
        return linearizable && converged.Converged && _broken.Count == 0;
    }

    private static string Note(int number) => $"note-{number}";

    private static string Names(uint[] nodes) => string.Join(' ', nodes);

    private void Expect(bool holds, string what)
    {
        if (!holds)
        {
            _broken.Add(what);
        }
    }

    private async Task<ReplicaStatus> StatusAsync(uint node)
    {
        var description = await cluster.Client.Admin.DescribeKeyspaceAsync(Keyspace, node, stop);
        return description.Replicas.Count > 0 ? description.Replicas[0] : new ReplicaStatus();
    }

    private async Task<string> DescribeOverlaysAsync()
    {
        var statuses = await Task.WhenAll(Minority.Select(StatusAsync));
        return string.Join("; ", statuses.Select((status, i) => string.Create(
            CultureInfo.InvariantCulture, $"node {Minority[i]}: {status.OverlayKeys} keys, {status.OverlayBytes} bytes, the oldest for {status.OverlayAgeMs / 1000.0:0.0} s")));
    }

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

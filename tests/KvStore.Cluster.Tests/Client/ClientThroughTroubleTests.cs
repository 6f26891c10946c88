using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.RegularExpressions;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Cluster.Tests.Docs;
using KvStore.Cluster.Tests.Watching;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

/// <summary>An application's client under load while leaders die, nodes restart, and the network breaks and heals: all its promises at once.</summary>
[Collection(ClusterCollection.Name)]
public sealed class ClientThroughTroubleTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private const int Workers = 6;
    private const int Progress = 120;
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    /// <summary>A deadline is kept by a timer of this process, which two busy cores may hold up; far below a call that hangs.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    /// <summary>What docs/client.md lists under "Retries and deadlines" as what calls may end with while nodes and links fail.</summary>
    private static readonly KvCode[] Documented = [KvCode.NoLeader, KvCode.NoQuorum, KvCode.LeadershipLost, KvCode.DeadlineExceeded, KvCode.Unavailable, KvCode.ShuttingDown, KvCode.Recovering];

    private readonly KvTestCluster _cluster = nodes.Cluster;
    private readonly ConcurrentQueue<string> _broken = new();
    private readonly ConcurrentDictionary<KvCode, int> _failures = new();
    private long _done;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task A_client_under_load_through_deaths_restarts_and_cuts_sees_documented_errors_in_time_single_effects_and_whole_streams()
    {
        string name = nodes.NewName("trouble");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 4);
        await using KvClient client = KvClient.Create(_cluster.Endpoints);
        IKvKeyspace keyspace = client.Keyspace(name);
        await using var watch = new WatchReader(keyspace, KvRange.Prefix("log/"));
        await _cluster.WaitUntilAsync("the watch has begun", () => Task.FromResult(watch.Token is not null));

        using var stop = new CancellationTokenSource();
        Worker[] workers = [.. Enumerable.Range(0, Workers).Select(number => new Worker(number))];
        Task working = Task.WhenAll(workers.Select(worker => Task.Run(() => RunAsync(worker, keyspace, stop.Token))));
        await PlayTroublesAsync(name);
        await stop.CancelAsync();
        await working;
        output.WriteLine($"{_done} operations done; {string.Join(", ", _failures.Select(each => $"{each.Value} {each.Key}"))}; {watch.Changes.Count} changes told, {watch.Gaps} gaps");

        _broken.Should().BeEmpty("every call ends in time, and with an error that is documented or none");
        foreach (Worker worker in workers)
        {
            long counted = (await keyspace.GetAsync<long>(worker.Counter))?.Value ?? 0;
            counted.Should().BeInRange(worker.Counted, worker.Counted + worker.CountedPerhaps, $"{worker.Counter}: each increment has one effect, an unknown one at most one");
        }

        await _cluster.WaitUntilAsync("the watch has told every acknowledged put", () => Task.FromResult(workers.All(worker => worker.Put.All(watch.ValuesOf(worker.Log).Contains))));
        watch.Gaps.Should().Be(0);
        foreach (Worker worker in workers)
        {
            int[] told = [.. watch.ValuesOf(worker.Log).Select(int.Parse)];
            int[] acknowledged = [.. worker.Put.Select(int.Parse)];
            told.Should().OnlyHaveUniqueItems("each put is told once, however often it was sent");
            told.Where(acknowledged.Contains).Should().Equal(acknowledged, $"{worker.Log} is told whole and in order; only what is unknown may come later than the next");
            told.Except(worker.Put.Concat(worker.PutPerhaps).Select(int.Parse)).Should().BeEmpty("nothing that was refused is ever seen");
        }
    }

    [Fact]
    public void The_page_of_the_client_lists_these_errors()
    {
        string page = Checkout.Read("docs/client.md");
        string listed = page.Split('\n').Single(line => line.StartsWith("- While nodes die,", StringComparison.Ordinal));
        Regex.Matches(listed, "`(\\w+)`").Select(match => match.Groups[1].Value).Should().BeEquivalentTo(Documented.Select(code => $"{code}"));
    }

    /// <summary>Each trouble lasts until the load has gone on in spite of it.</summary>
    private async Task PlayTroublesAsync(string keyspace)
    {
        await ProgressAsync("before anything happens");
        uint leader = await _cluster.LeaderOfAsync(keyspace);
        await _cluster.KillAsync(leader);
        await ProgressAsync("without the leader");
        await _cluster.RestartAsync(leader);
        await ProgressAsync("with it again");

        uint follower = _cluster.Nodes.First(node => node.Id != leader).Id;
        await _cluster.StopAsync(follower);
        await _cluster.RestartAsync(follower);
        await ProgressAsync("after a restart in good order");

        await nodes.HealAsync();
        await _cluster.IsolateAsync(await _cluster.LeaderOfAsync(keyspace));
        await ProgressAsync("while a leader is cut off");
        await nodes.HealAsync();

        await _cluster.PartitionAsync([1], [2], [3]);
        int before = _failures.Values.Sum();
        await _cluster.WaitUntilAsync("some call is refused", () => Task.FromResult(_failures.Values.Sum() > before));
        await nodes.HealAsync();
        await ProgressAsync("after the heal");
    }

    private Task ProgressAsync(string when)
    {
        long target = Interlocked.Read(ref _done) + Progress;
        return _cluster.WaitUntilAsync($"{Progress} more operations {when}", () => Task.FromResult(Interlocked.Read(ref _done) >= target));
    }

    private async Task RunAsync(Worker worker, IKvKeyspace keyspace, CancellationToken stop)
    {
        var write = new KvWriteOptions { Timeout = Timeout };
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        for (int i = 1; !stop.IsCancellationRequested; i++)
        {
            string value = $"{i}";
            await AskAsync("put", async () => await keyspace.PutAsync(worker.Log, value, write), () => worker.Put.Add(value), () => worker.PutPerhaps.Add(value));
            await AskAsync("increment", async () => await keyspace.IncrementAsync(worker.Counter, options: write), () => worker.Counted++, () => worker.CountedPerhaps++);
            await AskAsync("get", async () => await keyspace.GetAsync<string>(worker.Log, new KvReadOptions { Timeout = Timeout }), () => { }, () => { });
            await pace.WaitForNextTickAsync(CancellationToken.None);
        }
    }

    private async Task AskAsync(string what, Func<Task> ask, Action done, Action unknown)
    {
        long begin = Stopwatch.GetTimestamp();
        try
        {
            await ask();
            done();
            Interlocked.Increment(ref _done);
        }
        catch (KvException failure)
        {
            _failures.AddOrUpdate(failure.Code, 1, (_, count) => count + 1);
            if (failure.OutcomeUnknown)
            {
                unknown();
            }

            if (!Documented.Contains(failure.Code))
            {
                _broken.Enqueue($"{what}: {failure.Code}: {failure.Message}");
            }
        }
        catch (Exception undocumented)
        {
            _broken.Enqueue($"{what}: {undocumented}");
        }

        if (Stopwatch.GetElapsedTime(begin) is var took && took > Timeout + Grace)
        {
            _broken.Enqueue($"{what} took {took.TotalSeconds:0.0} s");
        }
    }

    /// <summary>What one worker was told. Only it writes its two keys, one call at a time.</summary>
    private sealed class Worker(int number)
    {
        public string Log { get; } = $"log/{number}";

        public string Counter { get; } = $"counter/{number}";

        public List<string> Put { get; } = [];

        public List<string> PutPerhaps { get; } = [];

        public long Counted { get; set; }

        public long CountedPerhaps { get; set; }
    }
}

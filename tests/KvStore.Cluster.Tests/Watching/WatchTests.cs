using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Watching;

/// <summary>Watches of real nodes, through deaths, cuts and changes of the regime.</summary>
[Collection(ClusterCollection.Name)]
public sealed class WatchTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Puts_deletes_and_expiries_are_told_apart_and_other_keys_are_not_told()
    {
        IKvKeyspace keyspace = await CreateAsync("kinds", PartitionPolicy.Cp);
        await using WatchReader prefix = await OpenAsync(keyspace, KvRange.Prefix("a/"));
        await keyspace.PutAsync("a/1", "x");
        await keyspace.PutAsync("b/1", "x");
        await keyspace.PutAsync("a/2", "short", new KvWriteOptions { Ttl = TimeSpan.FromMilliseconds(300) });
        await keyspace.DeleteAsync("a/1");
        await UntilAsync("all is told", () => prefix.Told.Count == 4);
        prefix.Told.Should().BeEquivalentTo("a/1=x", "a/2=short", "-a/1", "~a/2");
        prefix.Changes.Single(change => change.Key == "a/2" && change.Kind == KvChangeKind.Put).ExpiresIn.Should().BeGreaterThan(TimeSpan.Zero);
        KvChange<string> put = prefix.Changes[0];
        (put.Regime, put.Epoch).Should().Be((KvRegime.Ordered, 1ul));
    }

    [Fact]
    public async Task Scenario_49_a_watch_goes_on_through_the_deaths_of_all_leaders_each_change_once_and_in_order()
    {
        IKvKeyspace keyspace = await CreateAsync("deaths", PartitionPolicy.Cp);
        await using WatchReader reader = await OpenAsync(keyspace, KvRange.All);
        await using WatchReader single = await OpenAsync(keyspace, KvRange.Prefix("k0"));
        using var stop = new CancellationTokenSource();
        int written = 0;
        Task writing = Task.Run(async () =>
        {
            for (int i = 1; !stop.IsCancellationRequested; i++)
            {
                await keyspace.PutAsync($"k{i % 3}", $"{i}", new KvWriteOptions { Timeout = TimeSpan.FromSeconds(30) });
                Volatile.Write(ref written, i);
            }
        });
        for (int round = 0; round < 3; round++)
        {
            int before = Volatile.Read(ref written);
            await UntilAsync("writes", () => Volatile.Read(ref written) > before + 30);

            // Now and then the leader, now and then the node that serves the watch.
            uint victim = round == 1 ? reader.Node : await _cluster.LeaderOfAsync(keyspace.Name);
            await _cluster.KillAsync(victim);
            before = Volatile.Read(ref written);
            await UntilAsync("writes in spite of it", () => Volatile.Read(ref written) > before + 30);
            await _cluster.RestartAsync(victim);
            await _cluster.WaitUntilWholeAsync();
        }

        await stop.CancelAsync();
        await writing;
        await UntilAsync("the last is told", () => reader.ValuesOf($"k{written % 3}").LastOrDefault() == $"{written}" && reader.Changes.Count >= written);
        output.WriteLine($"{written} writes, {reader.Changes.Count} changes, {reader.Gaps} gaps");
        reader.Gaps.Should().Be(0);
        for (int key = 0; key < 3; key++)
        {
            int[] told = [.. reader.ValuesOf($"k{key}").Select(int.Parse)];
            told.Should().Equal(Enumerable.Range(1, written).Where(i => i % 3 == key), $"each once and in order, of key {key}");
        }

        await UntilAsync("so does the narrow watch", () => single.ValuesOf("k0").Count == reader.ValuesOf("k0").Count);
        single.ValuesOf("k0").Should().Equal(reader.ValuesOf("k0"));
    }

    [Fact]
    public async Task A_watch_at_a_node_that_is_cut_off_moves_to_the_majority()
    {
        IKvKeyspace keyspace = await CreateAsync("cut", PartitionPolicy.Cp);
        await using WatchReader reader = await OpenAsync(keyspace, KvRange.All);
        uint served = reader.Node;
        await _cluster.IsolateAsync(served);
        KvNodeClient other = _cluster.ClientOf(_cluster.Nodes.First(node => node.Id != served).Id);
        await _cluster.WaitUntilAsync("the majority writes", async () => (await other.PutAsync(keyspace.Name, "k", "1")).IsDone);
        await UntilAsync("it is told, though the node that served is silent", () => reader.Told.Contains("k=1"));
        reader.Node.Should().NotBe(served);
        reader.Gaps.Should().Be(0);
    }

    [Fact]
    public async Task A_token_goes_on_in_another_process_after_all_nodes_were_restarted()
    {
        IKvKeyspace keyspace = await CreateAsync("token", PartitionPolicy.Cp, shards: 3);
        string token;
        await using (WatchReader reader = await OpenAsync(keyspace, KvRange.All))
        {
            for (int i = 0; i < 10; i++)
            {
                await keyspace.PutAsync($"k{i}", "1");
            }

            await UntilAsync("told", () => reader.Changes.Count == 10);
            token = reader.Changes[^1].Token!;
        }

        // One after the other: each finds what it missed at the others.
        foreach (uint node in (uint[])[1, 2, 3])
        {
            await _cluster.StopAsync(node);
            await _cluster.RestartAsync(node);
            await _cluster.WaitUntilWholeAsync();
        }

        for (int i = 0; i < 10; i++)
        {
            await keyspace.PutAsync($"k{i}", "2");
        }

        await using var resumed = new WatchReader(keyspace, KvRange.All, new KvWatchOptions { FromToken = token });
        await UntilAsync("the rest is told", () => resumed.Changes.Count(change => change.Kind == KvChangeKind.Put) == 10);
        resumed.Changes.Where(change => change.Kind == KvChangeKind.Put).Should().OnlyContain(change => change.Value == "2");
    }

    [Fact]
    public async Task A_watch_with_initial_values_misses_nothing_while_others_write()
    {
        foreach (PartitionPolicy policy in (PartitionPolicy[])[PartitionPolicy.Cp, PartitionPolicy.Ap])
        {
            IKvKeyspace keyspace = await CreateAsync("initial", policy, shards: 2);
            for (int i = 0; i < 600; i++)
            {
                await keyspace.PutAsync($"k{i:000}", "0");
            }

            using var stop = new CancellationTokenSource();
            Task<int> writing = Task.Run(async () =>
            {
                int i = 0;
                for (; !stop.IsCancellationRequested; i++)
                {
                    await keyspace.PutAsync($"k{i * 37 % 700:000}", $"{i + 1}");
                }

                return i;
            });
            await using var reader = new WatchReader(keyspace, KvRange.All, new KvWatchOptions { InitialValues = true });
            await UntilAsync("all is told", () => reader.Told.Contains("caughtup"));
            int before = reader.Changes.Count;
            await UntilAsync("changes", () => reader.Changes.Count > before + 50);
            await stop.CancelAsync();
            int writes = await writing;
            var last = new Dictionary<string, string>();
            await foreach (KvEntry<string> entry in keyspace.ScanAsync<string>(KvRange.All))
            {
                last[entry.Key.ToString()] = entry.Value;
            }

            await UntilAsync("the watch knows all that a scan knows", () => last.All(entry => reader.ValuesOf(entry.Key).LastOrDefault() == entry.Value));
            output.WriteLine($"{policy}: {writes} writes meanwhile, {reader.Changes.Count} events");
            foreach (IGrouping<KvKey, KvChange<string>> key in reader.Changes.Where(change => change.Key != default).GroupBy(change => change.Key))
            {
                int[] values = [.. key.Select(change => int.Parse(change.Value!))];
                values.Should().BeInAscendingOrder().And.OnlyHaveUniqueItems($"of {key.Key}");
            }
        }
    }

    [Fact]
    public async Task An_ap_watch_goes_on_at_another_node_when_its_own_dies()
    {
        IKvKeyspace keyspace = await CreateAsync("open", PartitionPolicy.Ap);
        await using WatchReader reader = await OpenAsync(keyspace, KvRange.All);
        for (int i = 0; i < 20; i++)
        {
            await keyspace.PutAsync($"k{i}", "1");
        }

        await UntilAsync("told", () => reader.Changes.Count == 20);
        uint served = reader.Node;
        await _cluster.KillAsync(served);
        for (int i = 0; i < 20; i++)
        {
            await keyspace.PutAsync($"k{i}", "2");
        }

        await UntilAsync("the rest is told", () => reader.Changes.Count >= 40);
        reader.Gaps.Should().Be(0);
        for (int i = 0; i < 20; i++)
        {
            reader.ValuesOf($"k{i}").Should().Equal("1", "2");
        }

        await _cluster.RestartAsync(served);
    }

    [Fact]
    public async Task Concurrent_values_are_told_as_such()
    {
        IKvKeyspace keyspace = await CreateAsync("siblings", PartitionPolicy.Ap);
        await using WatchReader reader = await OpenAsync(keyspace, KvRange.All);
        await _cluster.PartitionAsync([1], [2, 3]);
        await _cluster.WaitUntilAsync("left", async () => (await _cluster.ClientOf(1).PutAsync(keyspace.Name, "k", "left")).IsDone);
        await _cluster.WaitUntilAsync("right", async () => (await _cluster.ClientOf(2).PutAsync(keyspace.Name, "k", "right")).IsDone);
        await nodes.HealAsync();
        await UntilAsync("both are told", () => reader.Told.Contains("k=left|right"));
        KvChange<string> both = reader.Changes.First(change => change.Siblings.Count == 2);
        (await keyspace.PutInContextAsync("k", "settled", both.Version)).Outcome.Should().Be(KvOutcome.Done, "the version of a change serves as a context");
        await UntilAsync("it is settled", () => reader.Told[^1] == "k=settled");
    }

    [Fact]
    public async Task What_a_minority_of_an_adaptive_keyspace_took_is_told_when_it_is_merged()
    {
        IKvKeyspace keyspace = await CreateAsync("adaptive", PartitionPolicy.Adaptive);
        await using WatchReader reader = await OpenAsync(keyspace, KvRange.All);
        await _cluster.IsolateAsync(3);
        await _cluster.WaitUntilAsync("the majority writes", async () => (await _cluster.ClientOf(1).PutAsync(keyspace.Name, "mainland", "1")).IsDone);
        await _cluster.WaitUntilAsync("the island writes", async () => (await _cluster.ClientOf(3).PutAsync(keyspace.Name, "island", "1")).IsDone);
        await UntilAsync("the majority's is told", () => reader.Told.Contains("mainland=1"));
        reader.Told.Should().NotContain("island=1", "it is provisional");
        await nodes.HealAsync();
        await UntilAsync("the island's is told", () => reader.Told.Contains("island=1"));
        reader.Told.Should().OnlyHaveUniqueItems();
        reader.Gaps.Should().Be(0);
    }

    [Fact]
    public async Task A_watch_goes_on_while_its_keyspace_becomes_ap_and_cp_again()
    {
        IKvKeyspace keyspace = await CreateAsync("switch", PartitionPolicy.Cp);
        await using WatchReader reader = await OpenAsync(keyspace, KvRange.All);
        using var stop = new CancellationTokenSource();
        int written = 0;
        Task writing = Task.Run(async () =>
        {
            for (int i = 1; !stop.IsCancellationRequested; i++)
            {
                await keyspace.PutAsync($"k{i}", $"{i}", new KvWriteOptions { Timeout = TimeSpan.FromSeconds(30) });
                Volatile.Write(ref written, i);
            }
        });
        foreach (PartitionPolicy policy in (PartitionPolicy[])[PartitionPolicy.Ap, PartitionPolicy.Cp])
        {
            await _cluster.Client.Admin.AlterKeyspaceAsync(keyspace.Name, new KvKeyspaceChange { Policy = policy });
            (await _cluster.Client.Admin.WaitForAlterationAsync(keyspace.Name, TimeSpan.FromSeconds(30))).Done.Should().BeTrue();
            int before = Volatile.Read(ref written);
            await UntilAsync("writes", () => Volatile.Read(ref written) > before + 20);
        }

        await stop.CancelAsync();
        await writing;
        await UntilAsync("all is told", () => Enumerable.Range(1, written).All(i => reader.ValuesOf($"k{i}").Count > 0));
        reader.Changes.Where(change => change.Kind == KvChangeKind.Put).Select(change => change.Key.ToString()).Should().OnlyHaveUniqueItems("each change is told once");
        reader.Changes.Select(change => change.Regime).Should().Contain([KvRegime.Ordered, KvRegime.Open]);
        reader.Gaps.Should().Be(0);
    }

    private async Task<IKvKeyspace> CreateAsync(string prefix, PartitionPolicy policy, int shards = 1)
    {
        string name = nodes.NewName(prefix);
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards);
        return _cluster.Client.Keyspace(name);
    }

    private async Task<WatchReader> OpenAsync(IKvKeyspace keyspace, KvRange range)
    {
        var reader = new WatchReader(keyspace, range);
        await UntilAsync("the watch has begun", () => reader.Token is not null);
        return reader;
    }

    private Task UntilAsync(string condition, Func<bool> holds) => _cluster.WaitUntilAsync(condition, () => Task.FromResult(holds()));
}

using FluentAssertions;
using KvStore.Cluster.Tests.Cli;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Concurrent values at real nodes: shown, listed, resolved by hand and by a function, or hidden and dropped.</summary>
[Collection(ClusterCollection.Name)]
public sealed class ConflictTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private static readonly KvResolver Union = KvResolver.Of<string>((_, siblings) =>
        string.Join('+', siblings.SelectMany(sibling => sibling.Value.Split('+')).Distinct().Order(StringComparer.Ordinal)));

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Conflicts_are_listed_over_all_shards_and_resolved_in_the_context_of_what_was_seen()
    {
        IKvKeyspace carts = await CreateAsync("carts", Conflicts.Siblings);
        for (int i = 0; i < 25; i++)
        {
            await carts.PutAsync($"cart/{i:00}", "tea");
            if (i % 5 == 0)
            {
                await carts.PutInContextAsync($"cart/{i:00}", "milk", KvVersion.Absent);
            }
        }

        (await ListAsync(carts)).Should().Equal("cart/00:2", "cart/05:2", "cart/10:2", "cart/15:2", "cart/20:2");
        KvEntry<string> seen = (await carts.GetAsync<string>("cart/05"))!;
        seen.Siblings.Select(sibling => sibling.Writer).Should().OnlyHaveUniqueItems().And.AllSatisfy(writer => writer.Should().MatchRegex("^[0-9a-f]{16}/[0-9]+$"));
        await carts.PutInContextAsync("cart/05", "bread", KvVersion.Absent);
        await carts.ResolveAsync(seen, "tea and milk");
        KvEntry<string> left = (await carts.GetAsync<string>("cart/05"))!;
        left.Siblings.Select(sibling => sibling.Value).Should().BeEquivalentTo(["bread", "tea and milk"], "what was written after the read stays");
        await carts.ResolveAsync(left, "all three");
        (await ListAsync(carts)).Should().NotContain(key => key.StartsWith("cart/05", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_resolver_decides_on_every_get_and_writes_back_if_asked()
    {
        IKvKeyspace carts = await CreateAsync("resolved", Conflicts.Siblings);
        await carts.PutAsync("cart", "tea");
        await carts.PutInContextAsync("cart", "milk", KvVersion.Absent);

        IKvKeyspace reading = _cluster.Client.Keyspace(carts.Name, new KvKeyspaceOptions { Resolver = Union });
        KvEntry<string> read = (await reading.GetAsync<string>("cart"))!;
        (read.Value, read.Resolved, read.SiblingCount, read.WrittenBack.HasValue).Should().Be(("milk+tea", true, 2, false));
        (await carts.GetAsync<string>("cart"))!.SiblingCount.Should().Be(2, "nothing was written");

        IKvKeyspace healing = _cluster.Client.Keyspace(carts.Name, new KvKeyspaceOptions { Resolver = Union, WriteBackResolved = true });
        KvEntry<string> healed = (await healing.GetAsync<string>("cart"))!;
        healed.Value.Should().Be("milk+tea");
        healed.WrittenBack!.Value.Outcome.Should().Be(KvOutcome.Done);
        KvEntry<string> after = (await carts.GetAsync<string>("cart"))!;
        (after.Value, after.SiblingCount, after.Resolved).Should().Be(("milk+tea", 1, false));
        await healing.PutInContextAsync("cart", "bread", healed.Version);
        (await carts.GetAsync<string>("cart"))!.Siblings.Should().BeEmpty("the entry's version covers what was written back");
    }

    [Fact]
    public async Task Last_writer_wins_hides_what_lost_says_how_many_and_drops_them()
    {
        IKvKeyspace profiles = await CreateAsync("profiles", Conflicts.LastWriterWins);
        await profiles.PutAsync("ada", "first");
        await _cluster.PartitionAsync([1], [2, 3]);
        await _cluster.WaitUntilAsync("both sides know", async () => (await _cluster.StatusAsync(1)).Peers.All(peer => peer.Reachability == Reachability.Down || !peer.HearsUs));
        (await _cluster.ClientOf(1).PutAsync(profiles.Name, "ada", "left")).IsDone.Should().BeTrue();
        (await _cluster.ClientOf(2).PutAsync(profiles.Name, "ada", "right")).IsDone.Should().BeTrue();
        await _cluster.HealAsync();
        output.WriteLine($"converged after {(await _cluster.WaitUntilConvergedAsync(profiles.Name)).TotalMilliseconds:0} ms");

        KvEntry<string> read = (await profiles.GetAsync<string>("ada", new KvReadOptions { Level = KvReadLevel.Quorum }))!;
        (read.Value, read.SiblingCount).Should().Be(("right", 1), "it was written last");
        await _cluster.WaitUntilAsync("the loser is dropped", async () => (await ListAsync(profiles)).Count == 0);
        await _cluster.WaitUntilConvergedAsync(profiles.Name);
        foreach (TestKit.Histories.ReplicaDump dump in await _cluster.DumpAsync(profiles.Name))
        {
            dump.ValuesOf("ada").Should().Equal("right");
        }

        (await profiles.GetAsync<string>("ada"))!.HiddenLosers.Should().Be(0);
        IEnumerable<ulong> dropped = await Task.WhenAll(((uint[])[1, 2, 3]).Select(async node => (ulong)(await _cluster.Client.Admin.NodeStatusAsync(node, replicas: true)).Replicas
            .Where(replica => replica.Keyspace == profiles.Name).Sum(replica => (long)replica.LosersDropped)));
        dropped.Should().Contain(1);
    }

    [Fact]
    public async Task Last_writer_wins_is_for_ap_keyspaces()
    {
        KvException refused = (await FluentActions.Awaiting(async () => await _cluster.Client.Admin.CreateKeyspaceAsync(
            new KvKeyspaceSettings { Name = nodes.NewName("cp"), Policy = PartitionPolicy.Cp, Conflicts = Conflicts.LastWriterWins })).Should().ThrowAsync<KvException>()).Which;
        refused.Code.Should().Be(KvCode.InvalidArgument);
        refused.Message.Should().Contain("choose ap");
    }

    [Fact]
    public async Task The_command_line_lists_shows_and_resolves()
    {
        string name = await nodes.NewKeyspaceAsync("ap");
        IKvKeyspace carts = _cluster.Client.Keyspace(name);
        await carts.PutAsync("cart/1", "tea");
        await carts.PutInContextAsync("cart/1", "milk", KvVersion.Absent);
        await carts.PutAsync("cart/2", "bread");
        (await nodes.MustKvAsync("conflict", "list", "-k", name, "-o", "raw")).Out.Should().Be($"cart/1\t2{Environment.NewLine}");
        (await nodes.MustKvAsync("get", "cart/1", "-k", name)).Error.Should().Contain("kv conflict resolve");

        string shown = (await nodes.MustKvAsync("conflict", "show", "cart/1", "-k", name)).Out;
        output.WriteLine(shown);
        shown.Should().Contain("tea").And.Contain("milk").And.Contain("writer").And.Contain("version ");
        System.Text.Json.JsonElement all = (await nodes.MustKvAsync("conflict", "show", "cart/1", "-k", name, "-o", "json")).Json();
        string writer = all.GetProperty("siblings").EnumerateArray().First(sibling => sibling.GetProperty("value").GetString() == "tea").GetProperty("writer").GetString()!;
        string version = all.GetProperty("version").GetString()!;
        (await nodes.KvAsync("conflict", "resolve", "cart/1", "--pick", "1", "--context", version, "-k", name)).Code.Should().Be(KvStore.Cli.ExitCode.Usage);
        (await nodes.KvAsync("conflict", "resolve", "cart/1", "--pick", "3", "-k", name)).Code.Should().Be(KvStore.Cli.ExitCode.Usage);
        await nodes.MustKvAsync("conflict", "resolve", "cart/1", "--pick", writer, "--context", version, "-k", name);
        (await nodes.MustKvAsync("conflict", "list", "-k", name, "-o", "raw")).Out.Should().BeEmpty();
        (await carts.GetAsync<string>("cart/1"))!.Value.Should().Be("tea");

        await carts.PutInContextAsync("cart/1", "milk", KvVersion.Absent);
        await nodes.MustKvAsync("conflict", "resolve", "cart/1", "tea, milk", "-k", name);
        (await carts.GetAsync<string>("cart/1"))!.Value.Should().Be("tea, milk");
        (await nodes.KvAsync("conflict", "resolve", "cart/2", "--pick", "1", "-k", name)).Error.Should().Contain("nothing to resolve");
        (await nodes.KvAsync("conflict", "show", "nothing", "-k", name)).Code.Should().Be(KvStore.Cli.ExitCode.NotFound);
    }

    private static async Task<List<string>> ListAsync(IKvKeyspace keyspace)
    {
        List<string> listed = [];
        await foreach (KvConflict conflict in keyspace.ConflictsAsync(KvRange.All, new KvScanOptions { PageSize = 2 }))
        {
            listed.Add($"{conflict.Key}:{conflict.SiblingCount}");
        }

        return listed;
    }

    private async Task<IKvKeyspace> CreateAsync(string prefix, Conflicts conflicts)
    {
        string name = nodes.NewName(prefix);
        await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Conflicts = conflicts, Shards = 4 });
        return _cluster.Client.Keyspace(name);
    }
}

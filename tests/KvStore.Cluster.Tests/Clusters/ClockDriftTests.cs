using FluentAssertions;
using KvStore.Cluster.Tests.Cli;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Scenario 55 and counterexample C17 at real nodes: one clock is an hour ahead.</summary>
[Collection(ClusterCollection.Name)]
public sealed class ClockDriftTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Scenario_55_a_clock_an_hour_ahead_is_measured_and_its_puts_are_refused_where_the_newest_wins_and_nowhere_else()
    {
        string newest = await CreateAsync(Conflicts.LastWriterWins), siblings = await CreateAsync(Conflicts.Siblings);
        _cluster.SetClockOffset(1, TimeSpan.FromHours(1));
        await _cluster.WaitUntilAsync("node 1 knows that its clock is off", async () => (await _cluster.StatusAsync(1)).ClockOffsetMs > 3_000_000);
        (await _cluster.StatusAsync(2)).ClockOffsetMs.Should().BeInRange(-500, 500, "one wrong clock does not make the right ones doubt");
        (await _cluster.StatusAsync(2)).Peers.Single(peer => peer.Node == 1).ClockOffsetMs.Should().BeGreaterThan(3_000_000);

        KvNodeAnswer refused = await _cluster.ClientOf(1).PutAsync(newest, "k", "from the future");
        refused.Code.Should().Be(Code.ClockSkew, refused.Reason);
        refused.Reason.Should().MatchRegex("clock is 3[0-9]{6} ms ahead").And.Contain("NTP");
        (await _cluster.Client.Keyspace(newest).PutAsync("k", "in time")).Node.Should().NotBe(1, "the client finds a node whose clock is right");
        (await nodes.MustKvAsync("cluster", "status")).Out.Should().Contain("refuses last-writer-wins puts");

        // C17: what it does acknowledge, the others take.
        (await _cluster.ClientOf(1).PutAsync(siblings, "k", "from the future")).IsDone.Should().BeTrue();
        await _cluster.WaitUntilConvergedAsync(siblings);
        (await _cluster.ClientOf(3).GetAsync(siblings, "k")).Values.Should().Equal("from the future");
        (await _cluster.ClientOf(3).PutAsync(siblings, "k", "later, by a right clock")).IsDone.Should().BeTrue();
        await _cluster.WaitUntilConvergedAsync(siblings);
        (await _cluster.ClientOf(1).GetAsync(siblings, "k")).Values.Should().Equal(["later, by a right clock"], "what a write saw, it supersedes, whatever the timestamps say");

        _cluster.SetClockOffset(1, TimeSpan.Zero);
        await _cluster.WaitUntilAsync("its clock is right again", async () => Math.Abs((await _cluster.StatusAsync(1)).ClockOffsetMs) < 500);
        (await _cluster.ClientOf(1).PutAsync(newest, "k", "right again")).IsDone.Should().BeTrue();

        // It had handed out timestamps an hour ahead. They must not go on.
        await _cluster.ClientOf(1).PutAsync(siblings, "new", "a");
        await _cluster.Client.Keyspace(siblings).PutInContextAsync("new", "b", KvVersion.Absent);
        await _cluster.WaitUntilConvergedAsync(siblings);
        KvEntry<string> entry = (await _cluster.Client.Keyspace(siblings).GetAsync<string>("new"))!;
        entry.Siblings.Should().HaveCount(2).And.OnlyContain(sibling => sibling.Timestamp < DateTimeOffset.UtcNow.AddMinutes(1));
    }

    private async Task<string> CreateAsync(Conflicts conflicts)
    {
        string name = nodes.NewName("drift");
        await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Conflicts = conflicts, Shards = 2 });
        await _cluster.WaitUntilAsync("it serves everywhere", async () => (await _cluster.ReplicasAsync(name)) is { Count: 6 } all && all.All(replica => replica.Fenced.Length == 0));
        return name;
    }
}

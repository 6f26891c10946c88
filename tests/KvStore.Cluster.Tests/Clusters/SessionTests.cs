using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Scenario 58: a client moves between replicas, and its session's token is honoured or it gets an error.</summary>
[Collection(ClusterCollection.Name)]
public sealed class SessionTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(PartitionPolicy.Cp, Replication.Sync)]
    [InlineData(PartitionPolicy.Cp, Replication.Async)]
    [InlineData(PartitionPolicy.Ap, Replication.Sync)]
    [InlineData(PartitionPolicy.Ap, Replication.Async)]
    [InlineData(PartitionPolicy.Ap, Replication.BestEffort)]
    public async Task Scenario_58_A_client_that_moves_from_node_to_node_reads_what_it_wrote_and_never_anything_older(PartitionPolicy policy, Replication replication)
    {
        string name = nodes.NewName("moving");
        await _cluster.CreateKeyspaceAsync(name, policy, replication);
        var session = new KvNodeSession();
        for (int i = 1; i <= 60; i++)
        {
            KvNodeAnswer put = await _cluster.ClientOf((uint)(i % 3) + 1).PutInSessionAsync(name, $"k{i % 5}", $"{i}", session);
            put.IsDone.Should().BeTrue(put.Reason);
            KvNodeAnswer got = await _cluster.ClientOf((uint)((i + 1) % 3) + 1).GetInSessionAsync(name, $"k{i % 5}", session);
            got.IsDone.Should().BeTrue(got.Reason);
            got.Values.Should().Equal([$"{i}"], "the write was this session's own, and superseded the one before");
        }

        output.WriteLine($"the token has {session.Token.Length} bytes after 60 writes over {5} keys");
        session.Token.Length.Should().BeLessThan(1_000);
    }

    [Fact]
    public async Task Scenario_58_On_the_other_side_of_a_cut_a_session_is_refused_and_after_the_heal_it_goes_on()
    {
        string name = nodes.NewName("cut");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Async);
        var session = new KvNodeSession();
        (await _cluster.ClientOf(1).PutInSessionAsync(name, "cart", "empty", session)).IsDone.Should().BeTrue();
        await _cluster.WaitUntilConvergedAsync(name);
        await _cluster.IsolateAsync(1);
        (await _cluster.ClientOf(1).PutInSessionAsync(name, "cart", "tea", session)).IsDone.Should().BeTrue();

        KvNodeAnswer elsewhere = await _cluster.ClientOf(2).GetInSessionAsync(name, "cart", session);
        (elsewhere.Outcome, elsewhere.Code).Should().Be((Outcome.NotDone, Code.SessionBehind));
        KvNodeAnswer write = await _cluster.ClientOf(3).PutInSessionAsync(name, "cart", "milk", session);
        (write.Outcome, write.Code).Should().Be((Outcome.NotDone, Code.SessionBehind), "it would not be behind what the session wrote");
        (await _cluster.ClientOf(2).GetAsync(name, "cart", ReadLevel.Eventual)).Values.Should().Equal("empty");

        await _cluster.HealAsync();
        await _cluster.WaitUntilAsync("node 2 has what the session wrote", async () => (await _cluster.ClientOf(2).GetInSessionAsync(name, "cart", session)).IsDone);
        (await _cluster.ClientOf(2).GetInSessionAsync(name, "cart", session)).Values.Should().Equal("tea");
    }

    [Fact]
    public async Task A_token_travels_as_text_from_one_client_to_another()
    {
        string name = nodes.NewName("token");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Async);
        KvSession session = _cluster.Client.CreateSession();
        session.Token.Should().BeEmpty();
        for (int i = 0; i < 30; i++)
        {
            await _cluster.Client.Keyspace(name).PutAsync($"key-{i}", $"{i}", new KvWriteOptions { Session = session });
        }

        session.Token.Should().MatchRegex("^[A-Za-z0-9_-]+$");
        await using IKvClient other = KvClient.Create(_cluster.Endpoints.Last());
        KvSession continued = other.CreateSession(session.Token);
        var read = new KvReadOptions { Session = continued };
        for (int i = 0; i < 30; i++)
        {
            (await other.Keyspace(name).GetAsync<string>($"key-{i}", read))!.Value.Should().Be($"{i}");
        }

        int scanned = 0;
        await foreach (KvEntry<string> _ in other.Keyspace(name).ScanAsync<string>(KvRange.All, new KvScanOptions { Session = continued }))
        {
            scanned++;
        }

        scanned.Should().Be(30);
        Action nonsense = () => other.CreateSession("no token!");
        nonsense.Should().Throw<ArgumentException>();
    }

    [Fact]
    public async Task Reads_that_state_no_level_have_that_of_their_keyspace()
    {
        string name = nodes.NewName("level");
        await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Replication = Replication.Sync, DefaultReadLevel = KvReadLevel.Quorum });
        await _cluster.Client.Keyspace(name).PutAsync("k", "v");
        (await _cluster.Client.Keyspace(name).GetAsync<string>("k"))!.Acknowledgements.Should().BeGreaterThanOrEqualTo(2, "a majority was asked");
        (await _cluster.Client.Keyspace(name).GetAsync<string>("k", new KvReadOptions { Level = KvReadLevel.Eventual }))!.Acknowledgements.Should().Be(1);

        Func<Task> impossible = async () => await _cluster.Client.Admin.CreateKeyspaceAsync(
            new KvKeyspaceSettings { Name = nodes.NewName("level"), Policy = PartitionPolicy.Ap, DefaultReadLevel = KvReadLevel.Linearizable });
        (await impossible.Should().ThrowAsync<KvException>()).Which.Message.Should().Contain("eventual, session or quorum");
    }

    [Fact]
    public async Task Many_calls_of_one_session_at_the_same_time_keep_its_promise()
    {
        string name = nodes.NewName("many");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.BestEffort);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        KvSession session = _cluster.Client.CreateSession();
        await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
        {
            await keyspace.PutAsync($"k{i}", i, new KvWriteOptions { Session = session });
            (await keyspace.GetAsync<int>($"k{i}", new KvReadOptions { Session = session }))!.Value.Should().Be(i);
        }));
        session.Token.Length.Should().BeLessThan(8_000);
    }

    [Fact]
    public async Task A_bounded_read_is_served_where_its_age_is_known_and_refused_where_it_is_not()
    {
        string ordered = nodes.NewName("bounded");
        string open = nodes.NewName("bounded");
        await _cluster.CreateKeyspaceAsync(ordered, PartitionPolicy.Cp, Replication.Sync);
        await _cluster.CreateKeyspaceAsync(open, PartitionPolicy.Ap, Replication.Async);
        foreach (string name in (string[])[ordered, open])
        {
            (await _cluster.ClientOf(1).PutAsync(name, "k", "v")).IsDone.Should().BeTrue();
            for (uint node = 1; node <= 3; node++)
            {
                KvNodeAnswer read = await _cluster.ClientOf(node).GetBoundedAsync(name, "k", TimeSpan.FromMilliseconds(300));
                read.IsDone.Should().BeTrue(read.Reason);
                read.Values.Should().Equal("v");
                read.Staleness.Should().BeLessThanOrEqualTo(TimeSpan.FromMilliseconds(300));
            }
        }

        await _cluster.IsolateAsync(3);
        foreach (string name in (string[])[ordered, open])
        {
            await _cluster.WaitUntilAsync("node 3 is too old", async () => (await _cluster.ClientOf(3).GetBoundedAsync(name, "k", TimeSpan.FromMilliseconds(300))).Code == Code.TooStale);
            (await _cluster.ClientOf(3).GetBoundedAsync(name, "k", TimeSpan.FromMinutes(5))).Values.Should().Equal("v");
            KvEntry<string>? found = await _cluster.Client.Keyspace(ordered).GetAsync<string>("k", new KvReadOptions { MaxStaleness = TimeSpan.FromSeconds(1), Timeout = TimeSpan.FromSeconds(20) });
            found!.Value.Should().Be("v", "the client finds a replica that is fresh enough");
        }
    }
}

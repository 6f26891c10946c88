using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Leadership that is handed over because an operator asks, on real nodes.</summary>
[Collection(ClusterCollection.Name)]
public sealed class LeaderTransferTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Every_node_is_made_the_leader_in_turn_while_a_client_writes_and_no_write_fails()
    {
        string name = await CreateAsync("turns", PartitionPolicy.Cp);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        using var stop = new CancellationTokenSource();
        int written = 0;
        Task writing = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                (await keyspace.PutAsync($"k{written}", "v", cancellationToken: CancellationToken.None)).Outcome.Should().Be(KvOutcome.Done);
                Interlocked.Increment(ref written);
            }
        });
        ulong term = 0;
        foreach (uint asked in (uint[])[1, 2, 3])
        {
            // Whoever is asked, it is passed on to the leader.
            await using IKvClient client = KvClient.Create($"http://{_cluster.Node(asked).Address}");
            foreach (uint wanted in (uint[])[2, 3, 1])
            {
                TransferLeaderResponse answer = await client.Admin.TransferLeaderAsync(name, 0, wanted);
                answer.Should().Match<TransferLeaderResponse>(done => done.Outcome == Outcome.Done && done.Leader == wanted && done.Term > term, "node {0} was asked: {1}", asked, answer);
                term = answer.Term;
                await _cluster.WaitUntilAsync($"node {wanted} leads", async () => await _cluster.LeaderOfAsync(name) == wanted);
            }
        }

        int now = written;
        await _cluster.WaitUntilAsync("writes go on", () => Task.FromResult(Volatile.Read(ref written) > now + 5));
        await stop.CancelAsync();
        await writing;
    }

    [Fact]
    public async Task Who_leads_already_is_done_at_once_in_the_same_term()
    {
        string name = await CreateAsync("same", PartitionPolicy.Cp);
        uint leader = await _cluster.LeaderOfAsync(name);
        ulong term = await TermAsync(name);
        TransferLeaderResponse answer = await _cluster.Client.Admin.TransferLeaderAsync(name, 0, leader);
        (answer.Outcome, answer.Leader, answer.Term).Should().Be((Outcome.Done, leader, term));
        (await TermAsync(name)).Should().Be(term);
    }

    [Fact]
    public async Task A_node_that_is_down_is_refused_at_once_and_the_shard_goes_on_under_its_leader()
    {
        string name = await CreateAsync("down", PartitionPolicy.Cp);
        uint leader = await _cluster.LeaderOfAsync(name);
        uint victim = leader == 3 ? 2u : 3u;
        await using IKvClient client = KvClient.Create($"http://{_cluster.Node(leader).Address}");
        await _cluster.KillAsync(victim);
        try
        {
            await _cluster.WaitUntilAsync("the leader misses the node", async () => (await _cluster.StatusAsync(leader)).Peers.Any(peer => peer.Node == victim && peer.Reachability != Reachability.Up));
            TransferLeaderResponse answer = await client.Admin.TransferLeaderAsync(name, 0, victim);
            (answer.Outcome, answer.Code).Should().Be((Outcome.NotDone, Code.NotCaughtUp));
            answer.Reason.Should().Contain($"Node {victim} is not up");
            (await _cluster.ClientOf(leader).PutAsync(name, "k", "v")).IsDone.Should().BeTrue();
        }
        finally
        {
            await _cluster.RestartAsync(victim);
            await _cluster.WaitUntilWholeAsync();
        }
    }

    [Fact]
    public async Task A_shard_without_a_majority_of_its_replicas_says_that_nobody_leads_it()
    {
        string name = await CreateAsync("leaderless", PartitionPolicy.Cp);
        await _cluster.LeaderOfAsync(name);
        await _cluster.PartitionAsync([1], [2], [3]);
        await _cluster.WaitUntilAsync("no node leads any more", async () => (await _cluster.ReplicasAsync(name)).All(replica => replica.Role != "leader"));
        await using KvClient client = KvClient.Create(new KvClientOptions { Endpoints = { $"http://{_cluster.Node(1).Address}" }, DefaultTimeout = TimeSpan.FromSeconds(2) });
        TransferLeaderResponse answer = await client.Admin.TransferLeaderAsync(name, 0, 2);
        answer.Outcome.Should().NotBe(Outcome.Done);
        answer.Reason.Should().NotBeEmpty();
    }

    [Fact]
    public async Task An_open_shard_hands_over_the_leadership_of_its_configuration_and_serves_all_the_while()
    {
        string name = await CreateAsync("open", PartitionPolicy.Ap);
        uint leader = await _cluster.LeaderOfAsync(name);
        uint wanted = (leader % 3) + 1;
        TransferLeaderResponse answer = await _cluster.Client.Admin.TransferLeaderAsync(name, 0, wanted);
        (answer.Outcome, answer.Leader, answer.Regime).Should().Be((Outcome.Done, wanted, Regime.Open));
        (await _cluster.ClientOf(leader).PutAsync(name, "k", "v")).IsDone.Should().BeTrue("writes don't go through the leader");
    }

    [Fact]
    public async Task Unknown_keyspaces_shards_and_nodes_without_a_replica_are_refused()
    {
        string name = nodes.NewName("alone");
        Keyspace keyspace = await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Shards = 1, Replicas = 1 });
        uint without = keyspace.Shards[0].Replicas[0].Node == 1 ? 2u : 1u;
        IKvAdmin admin = _cluster.Client.Admin;
        (await FailureAsync(() => admin.TransferLeaderAsync("unheard-of", 0, 1))).Code.Should().Be(KvCode.UnknownKeyspace);
        KvException shard = await FailureAsync(() => admin.TransferLeaderAsync(name, 1, 1));
        (shard.Code, shard.OutcomeUnknown).Should().Be((KvCode.InvalidArgument, false));
        shard.Message.Should().Contain("no shard 1");
        KvException node = await FailureAsync(() => admin.TransferLeaderAsync(name, 0, without));
        (node.Code, node.OutcomeUnknown).Should().Be((KvCode.InvalidArgument, false));
        node.Message.Should().Contain($"Node {without} has no replica of shard 0");
    }

    private async Task<string> CreateAsync(string prefix, PartitionPolicy policy)
    {
        string name = nodes.NewName(prefix);
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards: 1);
        return name;
    }

    private async Task<ulong> TermAsync(string name) => (await _cluster.ReplicasAsync(name)).Max(replica => replica.Term);

    private static async Task<KvException> FailureAsync(Func<ValueTask<TransferLeaderResponse>> call) => (await FluentActions.Awaiting(() => call().AsTask()).Should().ThrowAsync<KvException>()).Which;
}

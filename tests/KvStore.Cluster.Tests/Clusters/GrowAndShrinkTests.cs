using System.Collections.Concurrent;
using FluentAssertions;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Members come and go while the cluster serves: real nodes with real data directories.</summary>
[Collection(ClusterCollection.Name)]
public sealed class GrowAndShrinkTests(ITestOutputHelper output)
{
    private static readonly string[] Names = ["ordered", "open"];

    private readonly RecentLines _log = new();

    [Fact]
    public async Task A_fourth_node_gets_its_share_under_load_and_then_stands_in_for_one_that_dies()
    {
        await using KvTestCluster cluster = await StartAsync();
        var load = new WrittenOnce(cluster, Names);
        KvTestNode fourth = await cluster.AddNodeAsync();
        long begin = TimeProvider.System.GetTimestamp();
        await SettledAsync(cluster);
        output.WriteLine($"settled after {TimeProvider.System.GetElapsedTime(begin).TotalMilliseconds:0} ms");
        await load.StopAsync();

        KvTopology topology = await cluster.Client.Admin.GetTopologyAsync();
        topology.Members.Should().HaveCount(4).And.OnlyContain(member => member.State == MemberState.Settled);
        foreach (KvKeyspaceInfo keyspace in topology.Keyspaces.Where(keyspace => Names.Contains(keyspace.Name)))
        {
            keyspace.Shards.Should().OnlyContain(shard => shard.Nodes.Count == 3);
            keyspace.Shards.Count(shard => shard.Nodes.Contains(fourth.Id)).Should().Be(3, "of twelve replicas a quarter");
        }

        // What moved away is gone from the disks of those who had it.
        await cluster.WaitUntilAsync("no node holds more than is placed there", async () => await HeldAsync(cluster) == topology.Keyspaces.Sum(keyspace => keyspace.Shards.Sum(shard => shard.Nodes.Count)));
        await load.VerifyAsync();
        await cluster.KillAsync(1);
        await load.VerifyAsync();
        foreach (string name in Names)
        {
            for (int i = 0; i < 16; i++)
            {
                (await cluster.Client.Keyspace(name).PutAsync($"after/{i}", "v")).IsDone.Should().BeTrue();
            }
        }
    }

    [Fact]
    public async Task The_leader_of_the_system_shard_is_removed_under_load_and_nothing_that_was_acknowledged_is_lost()
    {
        await using KvTestCluster cluster = await StartAsync(nodes: 4);
        uint leader = await cluster.LeaderOfAsync("_system");
        KvTestNode leaving = cluster.Node(leader);
        var load = new WrittenOnce(cluster, Names);
        (await cluster.Client.Admin.RemoveMemberAsync(leader)).Removing.Should().BeTrue();
        (await cluster.Client.Admin.RemoveMemberAsync(leader)).Removing.Should().BeFalse("it is leaving already");
        await TellOnTimeoutAsync(cluster, () => cluster.WaitUntilAsync("it is a member no more", async () => (await cluster.Client.Admin.GetTopologyAsync()).Members.All(member => member.Node != leader)));
        await load.StopAsync();
        await load.VerifyAsync();
        (await cluster.Client.Admin.RemoveMemberAsync(leader)).Gone.Should().BeTrue();

        // The one that is gone says so, and serves nothing.
        await cluster.WaitUntilAsync("it knows", () => Task.FromResult(_log.ToString().Contains("This node was removed from the cluster", StringComparison.Ordinal)));
        await cluster.WaitUntilAsync("it serves no more", async () => await HealthAsync(leaving) == HealthCheckResponse.Types.ServingStatus.NotServing);
        foreach (string name in Names)
        {
            (await leaving.Client.GetAsync(name, load.AnyKeyOf(name), ReadLevel.Eventual)).IsDone.Should().BeFalse("what it had may be stale");
        }

        await cluster.StopAsync(leader);
        Func<Task> again = () => cluster.RestartAsync(leader);
        (await again.Should().ThrowAsync<Exception>()).WithMessage("*was removed from the cluster*");
        Func<Task> sameId = async () => await cluster.Client.Admin.AddMemberAsync(leader, leaving.Address);
        (await sameId.Should().ThrowAsync<KvException>()).WithMessage("*never used again*");
        await load.VerifyAsync();
    }

    [Fact]
    public async Task Shards_move_away_and_back_and_a_node_that_was_down_meanwhile_finds_out()
    {
        await using KvTestCluster cluster = await StartAsync();
        var load = new WrittenOnce(cluster, Names);
        await cluster.AddNodeAsync();
        await SettledAsync(cluster);

        // Everything that the fourth has goes back to nodes that had it before, under new ids.
        await cluster.RemoveNodeAsync(4);
        await load.StopAsync();
        await load.VerifyAsync();
        KvTestNode fifth = await cluster.AddNodeAsync();
        fifth.Id.Should().Be(5);
        await SettledAsync(cluster);
        await cluster.KillAsync(2);
        await cluster.RestartAsync(2);
        await cluster.WaitUntilWholeAsync();
        await cluster.KillAsync(3);
        await load.VerifyAsync();
        await cluster.RestartAsync(3);

        // It misses that it is removed, and must not come back.
        await cluster.WaitUntilWholeAsync();
        KvTestNode lost = cluster.Node(5);
        await cluster.KillAsync(5);
        await cluster.WaitUntilAsync("all know that it is down", async () => await KnowAsync(cluster, 5, Reachability.Down));
        await cluster.Client.Admin.RemoveMemberAsync(5);
        await TellOnTimeoutAsync(cluster, () => cluster.WaitUntilAsync("it is a member no more", async () => (await cluster.Client.Admin.GetTopologyAsync()).Members.All(member => member.Node != 5)));
        Func<Task> again = () => cluster.RestartAsync(5);
        (await again.Should().ThrowAsync<Exception>()).WithMessage("*was removed from the cluster*");
        lost.IsRunning.Should().BeFalse();
        await load.VerifyAsync();
    }

    [Fact]
    public async Task A_cluster_of_one_grows_to_three_and_survives_the_first()
    {
        await using KvTestCluster cluster = await StartAsync(nodes: 1);
        var load = new WrittenOnce(cluster, Names);
        await cluster.AddNodeAsync();
        await cluster.AddNodeAsync();
        await SettledAsync(cluster);
        await load.StopAsync();
        await cluster.KillAsync(1);
        await load.VerifyAsync();
        (await cluster.Client.Keyspace("ordered").PutAsync("after", "v")).IsDone.Should().BeTrue();
    }

    [Fact]
    public async Task What_can_not_be_is_refused_and_a_newcomer_that_never_came_is_let_go()
    {
        await using KvTestCluster cluster = await StartAsync();
        IKvAdmin admin = cluster.Client.Admin;
        (await FailureAsync(() => admin.AddMemberAsync(2, "127.0.0.1:9"))).Message.Should().Contain("is a member already");
        (await FailureAsync(() => admin.AddMemberAsync(9, cluster.Node(2).Address))).Message.Should().Contain("is node 2's");
        (await FailureAsync(() => admin.RemoveMemberAsync(9))).Message.Should().Contain("is no member");
        (await FailureAsync(() => admin.RemoveMemberAsync(3))).Message.Should().Contain("would have 2").And.Contain("--force");

        KvTestNode never = await cluster.AddNodeAsync(start: false);
        (await admin.AddMemberAsync(never.Id, never.Address)).Added.Should().BeFalse("it was added before");
        foreach (string name in Names)
        {
            (await cluster.Client.Keyspace(name).PutAsync("k", "v")).IsDone.Should().BeTrue("the cluster serves while it waits");
        }

        await cluster.RemoveNodeAsync(never.Id);
        (await admin.GetTopologyAsync()).Members.Select(member => member.Node).Should().Equal(1, 2, 3);
        await cluster.KillAsync(3);
        await cluster.WaitUntilAsync("all know that it is down", async () => await KnowAsync(cluster, 3, Reachability.Down));
        (await FailureAsync(() => admin.RemoveMemberAsync(2, force: true))).Message.Should().Contain("can be reached");
    }

    private async Task<KvTestCluster> StartAsync(int nodes = 3)
    {
        KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Nodes = nodes, Log = _log.Add, Deadline = TimeSpan.FromSeconds(120) });
        await cluster.CreateKeyspaceAsync("ordered", PartitionPolicy.Cp, Replication.Sync, shards: 4);
        await cluster.CreateKeyspaceAsync("open", PartitionPolicy.Ap, Replication.Sync, shards: 4);
        return cluster;
    }

    private Task SettledAsync(KvTestCluster cluster) => TellOnTimeoutAsync(cluster, () => cluster.WaitUntilSettledAsync());

    private async Task TellOnTimeoutAsync(KvTestCluster cluster, Func<Task> wait)
    {
        try
        {
            await wait();
        }
        catch (TimeoutException)
        {
            foreach (KvTestNode node in cluster.Nodes.Where(node => node.IsRunning))
            {
                foreach (ReplicaStatus replica in (await cluster.StatusAsync(node.Id, replicas: true)).Replicas)
                {
                    output.WriteLine($"{node.Id}: {replica.Keyspace}/{replica.Shard} {replica.ReplicaId} {replica.Role} {replica.Fenced} " + string.Join(' ', replica.Members.Select(member => $"{member.ReplicaId}@{member.Node}{(member.Voter ? "" : member.Learner ? "l" : "o")}")));
                }
            }

            output.WriteLine(_log.ToString());
            throw;
        }
    }

    private static async Task<bool> KnowAsync(KvTestCluster cluster, uint node, Reachability wanted)
    {
        foreach (KvTestNode other in cluster.Nodes.Where(other => other.IsRunning))
        {
            if ((await cluster.StatusAsync(other.Id)).Peers.Single(peer => peer.Node == node).Reachability != wanted)
            {
                return false;
            }
        }

        return true;
    }

    private static async Task<int> HeldAsync(KvTestCluster cluster)
    {
        int held = 0;
        foreach (KvTestNode node in cluster.Nodes)
        {
            held += (int)(await cluster.StatusAsync(node.Id)).ReplicaCount;
        }

        return held;
    }

    private static async Task<HealthCheckResponse.Types.ServingStatus> HealthAsync(KvTestNode node)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{node.Address}");
        return (await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest(), new CallOptions(deadline: DateTime.UtcNow.AddSeconds(10)))).Status;
    }

    private static async Task<KvException> FailureAsync<T>(Func<ValueTask<T>> call)
    {
        Func<Task> act = async () => await call();
        return (await act.Should().ThrowAsync<KvException>()).Which;
    }

    /// <summary>Writers that each write one key after the other, once; what was acknowledged must be there for ever.</summary>
    private sealed class WrittenOnce
    {
        private readonly KvTestCluster _cluster;
        private readonly ConcurrentDictionary<(string Keyspace, string Key), string> _acknowledged = new();
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _writers;

        public WrittenOnce(KvTestCluster cluster, IReadOnlyList<string> names)
        {
            _cluster = cluster;
            _writers = Task.WhenAll(names.SelectMany(name => Enumerable.Range(0, 3).Select(writer => Task.Run(() => WriteAsync(name, writer)))));
        }

        public string AnyKeyOf(string name) => _acknowledged.Keys.First(key => key.Keyspace == name).Key;

        public async Task StopAsync()
        {
            await _stop.CancelAsync();
            await _writers;
        }

        public async Task VerifyAsync()
        {
            _acknowledged.Should().NotBeEmpty();
            foreach (((string name, string key), string value) in _acknowledged)
            {
                KvReadOptions options = name == "open" ? new() { Level = KvReadLevel.Quorum } : new() { Level = KvReadLevel.Linearizable };
                (await _cluster.Client.Keyspace(name).GetAsync<string>(key, options))?.Value.Should().Be(value, "{0} of {1} was acknowledged", key, name);
                (await _cluster.Client.Keyspace(name).GetAsync<string>(key, options)).Should().NotBeNull("{0} of {1} was acknowledged", key, name);
            }
        }

        private async Task WriteAsync(string name, int writer)
        {
            IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
            using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
            for (int i = 0; i < 20_000 && !_stop.IsCancellationRequested; i++)
            {
                string key = $"{writer}/{i}";
                try
                {
                    if ((await keyspace.PutAsync(key, $"value {i}")).IsDone)
                    {
                        _acknowledged[(name, key)] = $"value {i}";
                    }
                }
                catch (KvException)
                {
                    // Not done, or nobody knows: it is not claimed.
                }

                await pace.WaitForNextTickAsync();
            }
        }
    }
}

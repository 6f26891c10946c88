using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Cluster.Tests.Load;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Kill;

/// <summary>Processes that get SIGKILL or SIGSTOP while clients read and write.</summary>
[Collection(ClusterCollection.Name)]
public sealed class KillTests(ThreeProcesses processes, ITestOutputHelper output) : IClassFixture<ThreeProcesses>
{
    private const int Progress = 60;

    private readonly KvProcessCluster _cluster = processes.Cluster;

    [Fact]
    public async Task Kill_9_of_each_node_in_turn_loses_nothing_that_was_acknowledged_as_sync()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        await _cluster.CreateKeyspaceAsync("ordered", PartitionPolicy.Cp, Replication.Sync);
        await _cluster.CreateKeyspaceAsync("open", PartitionPolicy.Ap, Replication.Sync);
        await using IKvClient client = Connect();
        RecordedLoad ordered = RecordedLoad.Start(new LoadPlan { Seed = seed, IsOpen = false }, Clients(client, "ordered"));
        RecordedLoad open = RecordedLoad.Start(new LoadPlan { Seed = seed, IsOpen = true }, Clients(client, "open"));
        foreach (KvProcessNode node in _cluster.Nodes)
        {
            await ProgressAsync($"before node {node.Id} is killed", ordered, open);
            long begin = TimeProvider.System.GetTimestamp();
            await _cluster.KillAsync(node.Id);
            await ProgressAsync($"without node {node.Id}", ordered, open);
            output.WriteLine($"node {node.Id} killed: {Progress} writes more in both keyspaces after {TimeProvider.System.GetElapsedTime(begin).TotalMilliseconds:0} ms");
            await _cluster.RestartAsync(node.Id);
        }

        await ProgressAsync("with all nodes again", ordered, open);
        await Task.WhenAll(ordered.StopAsync(), open.StopAsync());
        output.WriteLine($"ordered: {ordered}{Environment.NewLine}open: {open}");
        Verdicts.MustBeLinearizable(ordered.ToHistory(), await RestAsync("ordered"), $"seed {seed}; {ordered}");
        Verdicts.MustKeepWhatWasAcknowledged(open.ToHistory(), await RestAsync("open"), $"seed {seed}; {open}");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Kill_9_of_all_nodes_around_the_deletion_of_a_keyspace_leaves_nothing_of_it_once_it_was_repeated(bool whenDecided)
    {
        await _cluster.CreateKeyspaceAsync("doomed", PartitionPolicy.Cp, Replication.Sync);
        await using IKvClient client = Connect();
        uint id = (await client.Admin.DescribeKeyspaceAsync("doomed")).Keyspace.Id;
        await Task.WhenAll(Enumerable.Range(0, 50).Select(number => client.Keyspace("doomed").PutAsync($"k{number}", "v").AsTask()));
        Task<DeleteKeyspaceResponse> deletion = client.Admin.DeleteKeyspaceAsync("doomed", id).AsTask();
        if (whenDecided)
        {
            await deletion;
        }

        await Task.WhenAll(_cluster.Nodes.Select(node => _cluster.KillAsync(node.Id)));
        try
        {
            output.WriteLine($"before the kill: {await deletion}");
        }
        catch (KvException failure)
        {
            output.WriteLine($"the kill came first: {failure.Message}");
        }

        await Task.WhenAll(_cluster.Nodes.Select(node => _cluster.RestartAsync(node.Id)));
        await _cluster.WaitUntilAsync("it is decided", async () =>
        {
            try
            {
                return (await client.Admin.DeleteKeyspaceAsync("doomed", id)).Id == id;
            }
            catch (KvException failure) when (failure.Code is not (KvCode.InvalidArgument or KvCode.UnknownKeyspace))
            {
                return false;
            }
        });
        await _cluster.WaitUntilAsync("no node has a replica of it", async () =>
        {
            NodeStatusResponse[] all = await Task.WhenAll(_cluster.Nodes.Select(node => client.Admin.NodeStatusAsync(node.Id, replicas: true).AsTask()));
            return all.All(status => status.Replicas.All(replica => replica.KeyspaceId != id));
        });
        await _cluster.CreateKeyspaceAsync("doomed", PartitionPolicy.Cp, Replication.Sync);
        (await client.Keyspace("doomed").GetAsync<string>("k0")).Should().BeNull("another keyspace of the same name begins empty");
        await client.Admin.DeleteKeyspaceAsync("doomed");
    }

    [Fact]
    public async Task Kill_9_and_the_loss_of_a_disk_under_load_lose_nothing_that_two_replicas_of_an_open_shard_held()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        await _cluster.CreateKeyspaceAsync("wiped", PartitionPolicy.Ap, Replication.Sync, shards: 1);
        await using IKvClient client = Connect();
        RecordedLoad load = RecordedLoad.Start(new LoadPlan { Seed = seed, IsOpen = true }, Clients(client, "wiped"));
        await ProgressAsync("before the disk is lost", load);
        await _cluster.KillAsync(2);
        await ProgressAsync("without the node", load);
        long begin = TimeProvider.System.GetTimestamp();
        await _cluster.ReplaceAsync(2);
        await ProgressAsync("with its successor", load);
        await _cluster.WaitUntilAsync("the successor votes and is whole", async () =>
            (await _cluster.ReplicasAsync("wiped")).All(replica => replica is { Recovering: false, Leader: not 0 } && replica.Members.Count == 3 && replica.Members.All(member => member.Voter)));
        output.WriteLine($"replaced, whole and voting after {TimeProvider.System.GetElapsedTime(begin).TotalMilliseconds:0} ms, under load");
        await load.StopAsync();
        output.WriteLine(load.ToString());
        Verdicts.MustKeepWhatWasAcknowledged(load.ToHistory(), await RestAsync("wiped"), $"seed {seed}; {load}");
        await _cluster.WaitUntilAsync("the digests of all replicas are equal", async () =>
            (await _cluster.ReplicasAsync("wiped")).Select(replica => replica.Digest).Distinct().ToList() is [{ Length: > 0 }]);
    }

    [Fact]
    public async Task A_leader_that_stood_still_for_longer_than_an_election_never_answers_with_an_old_value()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        await _cluster.CreateKeyspaceAsync("paused", PartitionPolicy.Cp, Replication.Sync, shards: 1);
        await using IKvClient client = Connect();
        RecordedLoad load = RecordedLoad.Start(new LoadPlan { Seed = seed, IsOpen = false, Keys = 8, Pace = TimeSpan.FromMilliseconds(50) }, Clients(client, "paused"));
        for (int round = 1; round <= 2; round++)
        {
            await ProgressAsync("before the pause", load);
            uint leader = (await _cluster.ReplicasAsync("paused")).MaxBy(replica => replica.Term)!.Leader;
            var paused = new NodeStore(_cluster.ClientOf(leader), "paused");
            _cluster.Pause(leader);
            await ProgressAsync($"while node {leader}, which led, stands still", load);

            // These wait in the sleeping node's sockets until it wakes, believing that it still leads; all they may see is what the others have written meanwhile.
            Task<StoreAnswer>[] inFlight = [.. load.Keys.Select(key => load.ReadAsync(paused, key))];
            await ProgressAsync("while reads wait for the sleeper", load);
            _cluster.Resume(leader);
            StoreAnswer[] answers = await Task.WhenAll(inFlight);
            output.WriteLine($"round {round}: of {answers.Length} reads that waited for node {leader}, {answers.Count(answer => answer.Outcome == RecordedOutcome.Done)} were answered");
        }

        await ProgressAsync("after the pauses", load);
        await load.StopAsync();
        output.WriteLine(load.ToString());
        Verdicts.MustBeLinearizable(load.ToHistory(), await RestAsync("paused"), $"seed {seed}; {load}");
    }

    private static IEnumerable<Store> Clients(IKvClient client, string keyspace) => Enumerable.Range(1, 4).Select(number => new ClientStore($"c{number}", client.Keyspace(keyspace)));

    private IKvClient Connect()
    {
        var options = new KvClientOptions { DefaultTimeout = TimeSpan.FromSeconds(5), AttemptTimeout = TimeSpan.FromSeconds(1) };
        foreach (KvProcessNode node in _cluster.Nodes)
        {
            options.Endpoints.Add(node.Endpoint);
        }

        return KvClient.Create(options);
    }

    private async Task ProgressAsync(string when, params RecordedLoad[] loads)
    {
        long[] targets = [.. loads.Select(load => load.Written + Progress)];
        await _cluster.WaitUntilAsync($"{Progress} more writes done {when}", () => Task.FromResult(loads.Zip(targets).All(pair => pair.First.Written >= pair.Second)));
    }

    /// <summary>What every node holds once all hold the same.</summary>
    private async Task<IReadOnlyList<ReplicaDump>> RestAsync(string keyspace)
    {
        ReplicaDump[] dumps = [];
        await _cluster.WaitUntilAsync(
            $"all nodes hold the same of '{keyspace}'",
            async () =>
            {
                IReadOnlyList<ReplicaStatus> replicas = await _cluster.ReplicasAsync(keyspace);
                if (replicas.Any(replica => replica.Fenced.Length > 0 || replica.Applied != replica.LastIndex)
                    || replicas.GroupBy(replica => replica.Shard).Any(shard => shard.Select(replica => (replica.Applied, replica.Clock)).Distinct().Count() > 1))
                {
                    return false;
                }

                dumps = await Task.WhenAll(_cluster.Nodes.Select(node => node.Client.DumpAsync(keyspace)));
                return ConvergenceChecker.Check(dumps).Converged;
            });
        return dumps;
    }
}

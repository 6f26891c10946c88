using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Storage;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Keyspaces that are deleted while they are in use, while nodes are down and while nodes die: on real nodes with real data directories.</summary>
[Collection(ClusterCollection.Name)]
public sealed class KeyspaceDeletionTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    [InlineData(PartitionPolicy.Adaptive)]
    public async Task Under_load_every_operation_is_answered_and_then_nobody_knows_the_keyspace_any_more(PartitionPolicy policy)
    {
        (string name, uint id) = await CreateAsync("load", policy);
        Task<KvException>[] load = [.. Enumerable.Range(0, 8).Select(worker => Task.Run(() => WorkUntilRefusedAsync(name, worker)))];
        await _cluster.WaitUntilAsync("there is something to delete", async () => (await _cluster.ClientOf(1).GetAsync(name, "k7-20", ReadLevel.Eventual)).Value is not null);

        DeleteKeyspaceResponse answer = await _cluster.Client.Admin.DeleteKeyspaceAsync(name, id);
        (answer.Id, answer.Deleted).Should().Be((id, true));

        // Each ends with one exception, and so no operation was left without an answer.
        KvException[] ends = await Task.WhenAll(load).WaitAsync(TimeSpan.FromSeconds(60));
        ends.Should().OnlyContain(end => end.Code == KvCode.UnknownKeyspace || end.OutcomeUnknown);
        await AwaitGoneAsync(id);
        (await _cluster.Client.Admin.ListKeyspacesAsync()).Should().NotContain(keyspace => keyspace.Name == name);
        await _cluster.WaitUntilAsync("the client's topology forgets it", async () => (await _cluster.Client.GetTopologyAsync()).Keyspaces.All(keyspace => keyspace.Name != name));
        foreach (uint node in (uint[])[1, 2, 3])
        {
            KvNodeAnswer late = await _cluster.ClientOf(node).GetAsync(name, "k0-0", ReadLevel.Eventual);
            late.IsDone.Should().BeFalse();
            late.Reason.Should().Contain("There is no keyspace", "node {0} has forgotten it too", node);
        }

        (await FailureAsync(() => _cluster.Client.Admin.DescribeKeyspaceAsync(name))).Code.Should().Be(KvCode.UnknownKeyspace);
    }

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    public async Task A_keyspace_of_the_same_name_begins_empty_and_has_another_id(PartitionPolicy policy)
    {
        (string name, uint id) = await CreateAsync("again", policy);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await keyspace.PutAsync("k", "old life");
        await _cluster.Client.Admin.DeleteKeyspaceAsync(name);
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards: 2);
        Keyspace anew = (await _cluster.Client.Admin.DescribeKeyspaceAsync(name)).Keyspace;
        anew.Id.Should().BeGreaterThan(id);
        (await keyspace.GetAsync<string>("k")).Should().BeNull();
        (await keyspace.PutAsync("k", "new life")).Outcome.Should().Be(KvOutcome.Done);
        (await keyspace.GetAsync<string>("k"))!.Value.Should().Be("new life");
        await AwaitGoneAsync(id);
    }

    [Fact]
    public async Task A_node_that_was_down_destroys_its_replicas_when_it_is_back_and_its_disk_holds_nothing_of_them()
    {
        (string name, uint id) = await CreateAsync("missed", PartitionPolicy.Cp);
        (string kept, uint keptId) = await CreateAsync("kept", PartitionPolicy.Cp);
        await FillAsync(name);
        await _cluster.Client.Keyspace(kept).PutAsync("k", "v");
        await _cluster.WaitUntilCaughtUpAsync(name);
        await _cluster.WaitUntilCaughtUpAsync(kept);
        await _cluster.KillAsync(3);
        ShardsOnDiskOf(3).Should().Contain(shard => shard.Keyspace == id);
        await using (IKvClient majority = KvClient.Create($"http://{_cluster.Node(1).Address}"))
        {
            await DeleteAsync(majority, name, id);
        }

        await _cluster.RestartAsync(3);
        await _cluster.WaitUntilWholeAsync();
        await AwaitGoneAsync(id);
        await _cluster.StopAsync(3);
        ShardsOnDiskOf(3).Should().NotContain(shard => shard.Keyspace == id).And.Contain(shard => shard.Keyspace == keptId);

        // A second start with the whole log behind it brings nothing back.
        await _cluster.RestartAsync(3);
        await _cluster.WaitUntilWholeAsync();
        await AwaitGoneAsync(id);
        await _cluster.WaitUntilAsync("what was kept is served", async () => (await _cluster.ClientOf(3).GetAsync(kept, "k", ReadLevel.Eventual)).Value == "v");
    }

    [Fact]
    public async Task Nodes_that_die_in_the_middle_of_it_finish_it_when_they_are_back()
    {
        for (int round = 0; round < 3; round++)
        {
            (string name, uint id) = await CreateAsync("dying", PartitionPolicy.Cp);
            await FillAsync(name);
            await using IKvClient majority = KvClient.Create($"http://{_cluster.Node(1).Address}");
            Task deletion = DeleteAsync(majority, name, id);
            if (round > 0)
            {
                // As soon as it is decided, wherever the others are with it.
                await deletion;
            }

            await Task.WhenAll(_cluster.KillAsync(2), _cluster.KillAsync(3));
            await Task.WhenAll(_cluster.RestartAsync(2), _cluster.RestartAsync(3));
            await deletion;
            await _cluster.WaitUntilWholeAsync();
            await AwaitGoneAsync(id);
            await _cluster.StopAsync(2);
            ShardsOnDiskOf(2).Should().NotContain(shard => shard.Keyspace == id);
            await _cluster.RestartAsync(2);
            await _cluster.WaitUntilWholeAsync();
        }
    }

    [Fact]
    public async Task What_is_unknown_the_systems_or_another_one_is_refused_and_repeating_by_id_is_done()
    {
        IKvAdmin admin = _cluster.Client.Admin;
        (string name, uint id) = await CreateAsync("guarded", PartitionPolicy.Cp);
        (await FailureAsync(() => admin.DeleteKeyspaceAsync("unheard-of"))).Code.Should().Be(KvCode.UnknownKeyspace);
        (await FailureAsync(() => admin.DeleteKeyspaceAsync("_system"))).Code.Should().Be(KvCode.InvalidArgument);
        KvException future = await FailureAsync(() => admin.DeleteKeyspaceAsync(name, uint.MaxValue));
        (future.Code, future.OutcomeUnknown).Should().Be((KvCode.InvalidArgument, false));
        future.Message.Should().Contain("Nothing was deleted");
        (await admin.DeleteKeyspaceAsync(name, id)).Deleted.Should().BeTrue();
        (await admin.DeleteKeyspaceAsync(name, id)).Deleted.Should().BeFalse("it is gone already");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        (await admin.DeleteKeyspaceAsync(name, id)).Deleted.Should().BeFalse("the one of this id is gone already");
        (await admin.DescribeKeyspaceAsync(name)).Keyspace.Id.Should().BeGreaterThan(id, "and the new one was not meant");
    }

    private async Task<(string Name, uint Id)> CreateAsync(string prefix, PartitionPolicy policy)
    {
        string name = nodes.NewName(prefix);
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards: 2);
        return (name, (await _cluster.Client.Admin.DescribeKeyspaceAsync(name)).Keyspace.Id);
    }

    private async Task FillAsync(string name)
    {
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await Task.WhenAll(Enumerable.Range(0, 50).Select(number => keyspace.PutAsync($"k{number}", "v").AsTask()));
    }

    /// <summary>The system shard may be electing a leader, and the node that was asked may be about to die: by its id it is repeated until it is decided.</summary>
    private Task DeleteAsync(IKvClient client, string name, uint id) => _cluster.WaitUntilAsync("the cluster decides", async () =>
    {
        try
        {
            await client.Admin.DeleteKeyspaceAsync(name, id);
            return true;
        }
        catch (KvException failure) when (failure.Code is not (KvCode.InvalidArgument or KvCode.UnknownKeyspace))
        {
            return false;
        }
    });

    private async Task<KvException> WorkUntilRefusedAsync(string name, int worker)
    {
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        for (int number = 0; ; number++)
        {
            try
            {
                await keyspace.PutAsync($"k{worker}-{number}", new string('v', 500));
                await keyspace.GetAsync<string>($"k{worker}-{number / 2}");
            }
            catch (KvException end)
            {
                return end;
            }
        }
    }

    private Task AwaitGoneAsync(uint id) => _cluster.WaitUntilAsync("no running node has a replica of it", async () =>
    {
        // One that has just started shows no replicas before it has read any catalog.
        NodeStatusResponse[] all = await Task.WhenAll(_cluster.Nodes.Where(node => node.IsRunning).Select(node => _cluster.StatusAsync(node.Id, replicas: true)));
        return all.Select(status => status.TopologyRevision).Distinct().Count() == 1 && all.All(status => status.Replicas.All(replica => replica.KeyspaceId != id));
    });

    /// <summary>What the data directory of a stopped node holds.</summary>
    private List<ShardId> ShardsOnDiskOf(uint node)
    {
        using NodeStorage storage = NodeStorage.Open(new StorageOptions { Directory = _cluster.Node(node).DataDirectory, ClusterId = "test-cluster", NodeId = new NodeId(node) });
        return [.. storage.RecoveredShards];
    }

    private static async Task<KvException> FailureAsync<T>(Func<ValueTask<T>> call) => (await FluentActions.Awaiting(() => call().AsTask()).Should().ThrowAsync<KvException>()).Which;
}

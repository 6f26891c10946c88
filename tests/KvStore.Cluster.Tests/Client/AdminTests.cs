using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

public sealed class AdminTests
{
    [Fact]
    public async Task A_call_that_names_a_node_is_answered_by_that_node()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        await using KvClient client = await cluster.ConnectAsync();

        NodeStatusResponse status = await client.Admin.NodeStatusAsync(2, replicas: true);

        (status.Node, status.ReplicaCount).Should().Be((2U, 1U));
    }

    [Fact]
    public async Task A_call_that_names_no_node_goes_on_to_the_next_when_one_is_without_a_quorum()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 2);
        await using KvClient client = await cluster.ConnectAsync();

        Keyspace created = await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = "new", Policy = PartitionPolicy.Ap });

        (created.Name, created.Policy).Should().Be(("new", PartitionPolicy.Ap));
    }

    [Fact]
    public async Task The_reason_of_a_refusal_reaches_the_operator()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = await cluster.ConnectAsync();

        Func<Task> create = async () => await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = "new" });

        KvException failure = (await create.Should().ThrowAsync<KvException>()).Which;
        failure.Code.Should().Be(KvCode.NoQuorum);
        failure.OutcomeUnknown.Should().BeFalse();
        failure.Message.Should().Contain("no quorum for the system shard");
    }

    [Fact]
    public async Task A_node_that_is_no_member_is_named_as_the_callers_mistake()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = await cluster.ConnectAsync();

        await FluentActions.Awaiting(async () => await client.Admin.NodeStatusAsync(9)).Should().ThrowAsync<ArgumentException>().WithMessage("*Node 9*");
    }

    [Fact]
    public async Task A_server_without_the_interface_is_named_as_such()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = await cluster.ConnectAsync();

        KvException failure = (await FluentActions.Awaiting(async () => await client.Admin.ListKeyspacesAsync()).Should().ThrowAsync<KvException>()).Which;
        failure.Code.Should().Be(KvCode.Unsupported);
        failure.Message.Should().Contain("does not speak this interface").And.Contain("protocol version");
    }
}

using FluentAssertions;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>The same request id, sent again to another leader.</summary>
[Collection(ClusterCollection.Name)]
public sealed class RetriedRequestTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task A_request_that_the_old_leader_has_answered_is_answered_the_same_by_the_new_one()
    {
        string name = nodes.NewName("retry");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        uint old = await _cluster.LeaderOfAsync(name);
        uint other = _cluster.Nodes.First(node => node.Id != old).Id;
        Result first = await PutAsync(old, name, sequence: 1, "once");
        (await _cluster.ClientOf(old).PutAsync(name, "k", "newer")).IsDone.Should().BeTrue();

        await _cluster.KillAsync(old);
        Result again = await PutUntilDoneAsync(other, name, sequence: 1, "once");
        again.Version.Should().Equal(first.Version, "it is the same write");
        (await _cluster.ClientOf(other).GetAsync(name, "k")).Value.Should().Be("newer", "a retry is answered, not executed again");
        await _cluster.RestartAsync(old);
        (await PutUntilDoneAsync(old, name, sequence: 1, "once")).Version.Should().Equal(first.Version, "a restart forgets no request");
        (await _cluster.ClientOf(old).GetAsync(name, "k")).Value.Should().Be("newer");
    }

    [Fact]
    public async Task A_request_that_an_isolated_leader_left_open_takes_effect_once()
    {
        string name = nodes.NewName("open");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        uint old = await _cluster.LeaderOfAsync(name);
        uint other = _cluster.Nodes.First(node => node.Id != old).Id;
        await _cluster.IsolateAsync(old);
        Func<Task> open = async () => await PutAsync(old, name, sequence: 1, "once");
        await open.Should().ThrowAsync<RpcException>("nobody confirms it");

        Result done = await PutUntilDoneAsync(other, name, sequence: 1, "once");
        (await _cluster.ClientOf(other).PutAsync(name, "k", "newer")).IsDone.Should().BeTrue();
        await _cluster.HealAsync();
        (await PutUntilDoneAsync(old, name, sequence: 1, "once")).Version.Should().Equal(done.Version, "it is the same write");
        await _cluster.WaitUntilCaughtUpAsync(name);
        foreach (KvTestNode node in _cluster.Nodes)
        {
            (await node.Client.GetAsync(name, "k")).Value.Should().Be("newer", $"node {node.Id} has one effect of each request");
        }
    }

    [Fact]
    public async Task A_repeated_open_write_is_answered_like_the_first_attempt()
    {
        string name = nodes.NewName("open-retry");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Sync, shards: 1);
        Result first = await PutUntilDoneAsync(1, name, sequence: 1, "once");

        Result again = await PutAsync(1, name, sequence: 1, "once");

        first.Acknowledgements.Should().BeGreaterThanOrEqualTo(2);
        (again.Acknowledgements, again.Degraded).Should().Be((first.Acknowledgements, first.Degraded));
        again.Version.Should().Equal(first.Version, "it is the same write");
    }

    [Fact]
    public async Task Scenario_42_a_retry_after_the_window_gets_an_explicit_error_and_changes_nothing()
    {
        string name = nodes.NewName("expired");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        uint leader = await _cluster.LeaderOfAsync(name);
        await PutUntilDoneAsync(leader, name, sequence: 1, "once");

        // The session says that it will never send 1 to 4 again, and the shard forgets them.
        await PutAsync(leader, name, sequence: 5, "newer", floor: 4);
        foreach (KvTestNode node in _cluster.Nodes)
        {
            Func<Task> late = () => PutAsync(node.Id, name, sequence: 1, "once");
            RpcException refused = (await late.Should().ThrowAsync<RpcException>()).Which;
            refused.StatusCode.Should().Be(StatusCode.FailedPrecondition, refused.Status.Detail);
            refused.Status.Detail.Should().Contain("older than this shard remembers");
        }

        (await _cluster.ClientOf(leader).GetAsync(name, "k")).Value.Should().Be("newer");
    }

    private async Task<Result> PutUntilDoneAsync(uint node, string keyspace, ulong sequence, string value)
    {
        Result? result = null;
        await _cluster.WaitUntilAsync(
            $"node {node} answers the repeated request",
            async () =>
            {
                try
                {
                    result = await PutAsync(node, keyspace, sequence, value);
                    return true;
                }
                catch (RpcException refused) when (refused.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded or StatusCode.FailedPrecondition or StatusCode.NotFound)
                {
                    // Not found: a node that has just restarted does not know the catalog yet.
                    return false;
                }
            });
        return result!;
    }

    private async Task<Result> PutAsync(uint node, string keyspace, ulong sequence, string value, ulong floor = 0)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{_cluster.Node(node).Address}");
        var request = new PutRequest
        {
            Keyspace = keyspace,
            Key = ByteString.CopyFromUtf8("k"),
            Value = ByteString.CopyFromUtf8(value),
            Request = new RequestId { Session = 4_711, Sequence = sequence, AcknowledgedFloor = floor },
        };
        return await new Kv.KvClient(channel).PutAsync(request, deadline: DateTime.UtcNow + TimeSpan.FromSeconds(5));
    }
}

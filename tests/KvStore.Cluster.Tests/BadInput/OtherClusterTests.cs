using FluentAssertions;
using KvStore.Cli;
using KvStore.Client;
using KvStore.Cluster.Tests.Cli;
using KvStore.Cluster.Tests.Client;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.BadInput;

/// <summary>What belongs to another cluster is told apart: tokens here, nodes by what every stream says of the cluster that it means.</summary>
public sealed class OtherClusterTests
{
    private static readonly string ForeignToken = SessionTokens.ToText(new SessionToken { Cluster = 1, Parts = { new SessionPart { KeyspaceId = 7, Position = Google.Protobuf.ByteString.CopyFrom(1, 0, 0, 0) } } });

    [Fact]
    public async Task A_session_token_of_another_cluster_is_refused_and_nothing_is_sent()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = await cluster.ConnectAsync();
        KvSession session = client.CreateSession(ForeignToken);
        KvException refused = (await FluentActions.Awaiting(async () => await client.Keyspace("ks").PutAsync("k", "v", new KvWriteOptions { Session = session })).Should().ThrowAsync<KvException>()).Which;
        (refused.Code, refused.OutcomeUnknown).Should().Be((KvCode.InvalidArgument, false));
        refused.Message.Should().Contain("of another cluster");

        KvRun run = await KvRun.Of("get", "k", "-k", "ks", "--session", ForeignToken, "--endpoint", cluster.Nodes[0].Address);
        run.Code.Should().Be(ExitCode.Usage, run.Error);
        run.Error.Should().Contain("of another cluster");
        cluster.Received.Should().BeEmpty();
    }

    [Fact]
    public async Task Every_stream_says_which_cluster_it_means()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        await using KvClient client = await cluster.ConnectAsync();

        // A stream is open for the client before the node's own code has looked at it.
        using CancellationTokenSource patience = new(TimeSpan.FromSeconds(30));
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(2));
        while (cluster.Nodes.Any(node => node.MeantCluster is null))
        {
            await look.WaitForNextTickAsync(patience.Token);
        }

        cluster.Nodes.Should().OnlyContain(node => node.MeantCluster == PipelineMethods.ClusterMarkOf("fake"));
    }
}

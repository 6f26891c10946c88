using FluentAssertions;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>Who isn't let in, and what it is told. The stranger speaks generated code, as a foreign program would.</summary>
public sealed class StrangerTests
{
    [Theory]
    [InlineData("other", 2u, 1u, 1u, "belongs to cluster 'test', not to 'other'")]
    [InlineData("test", 2u, 7u, 1u, "This is node 1, not node 7")]
    [InlineData("test", 9u, 1u, 1u, "Node 9 is not a member of cluster 'test'")]
    [InlineData("test", 0u, 1u, 1u, "Node 0 is not a member")]
    [InlineData("test", 70_000u, 1u, 1u, "Node 70000 is not a member")]
    [InlineData("test", 1u, 1u, 1u, "Another process calls itself node 1")]
    [InlineData("test", 2u, 1u, 2u, "speaks version 1 of the peer protocol, not version 2")]
    public async Task A_stranger_is_refused_with_a_sentence(string cluster, uint node, uint toNode, uint version, string sentence)
    {
        await using LoopbackPeer peer = await LoopbackPeer.StartAsync(1);
        peer.Knows(peer.Address, new Node.Peers.PeerAddress(new Core.Identity.NodeId(2), "127.0.0.1:1"));
        Hello hello = new() { ClusterId = cluster, Node = node, ToNode = toNode, ProtocolVersion = version, Lane = Lane.Frames };

        RpcException onFrames = await RefusedFramesAsync(peer, new PeerFrame { Hello = hello });
        RpcException onHeartbeats = await RefusedHeartbeatAsync(peer, new Heartbeat { Hello = hello });

        onFrames.StatusCode.Should().Be(StatusCode.FailedPrecondition);
        onFrames.Status.Detail.Should().Contain(sentence);
        onHeartbeats.StatusCode.Should().Be(StatusCode.FailedPrecondition);
        onHeartbeats.Status.Detail.Should().Contain(sentence);
    }

    [Fact]
    public async Task A_stream_without_a_hello_is_refused()
    {
        await using LoopbackPeer peer = await LoopbackPeer.StartAsync(1);

        RpcException refusal = await RefusedFramesAsync(peer, new PeerFrame { Messages = { new ShardMessage { Shard = 1 } } });

        refusal.Status.Detail.Should().Be("The first message of a stream between nodes must be a Hello.");
    }

    [Fact]
    public async Task A_node_of_another_cluster_logs_why_it_is_refused()
    {
        await using LoopbackPeer ours = await LoopbackPeer.StartAsync(1);
        await using LoopbackPeer theirs = await LoopbackPeer.StartAsync(2, cluster: "other");

        LoopbackPeer.Introduce(ours, theirs);

        await LoopbackPeer.UntilAsync(() => theirs.Log.Lines.Any(line => line.Contains("belongs to cluster 'test', not to 'other'", StringComparison.Ordinal)), "the refusal to be logged");
        theirs.Mesh.IsConnected(ours.Node).Should().BeFalse();
    }

    private static async Task<RpcException> RefusedFramesAsync(LoopbackPeer peer, PeerFrame first)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{peer.Address.Address}");
        using AsyncDuplexStreamingCall<PeerFrame, PeerWelcome> call = new Peer.PeerClient(channel).Frames(deadline: DateTime.UtcNow.AddSeconds(20));
        await call.RequestStream.WriteAsync(first);
        return (await call.Invoking(refused => refused.ResponseStream.MoveNext(CancellationToken.None)).Should().ThrowAsync<RpcException>()).Which;
    }

    private static async Task<RpcException> RefusedHeartbeatAsync(LoopbackPeer peer, Heartbeat first)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{peer.Address.Address}");
        using AsyncDuplexStreamingCall<Heartbeat, Heartbeat> call = new Peer.PeerClient(channel).Heartbeats(deadline: DateTime.UtcNow.AddSeconds(20));
        await call.RequestStream.WriteAsync(first);
        return (await call.Invoking(refused => refused.ResponseStream.MoveNext(CancellationToken.None)).Should().ThrowAsync<RpcException>()).Which;
    }
}

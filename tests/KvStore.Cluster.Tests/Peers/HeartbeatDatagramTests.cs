using System.Net;
using System.Net.Sockets;
using FluentAssertions;
using Google.Protobuf;
using KvStore.Contracts.V1;
using KvStore.Node.Faults;
using KvStore.Node.Peers;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>Heartbeats as datagrams: an economy, on which nothing may depend.</summary>
public sealed class HeartbeatDatagramTests
{
    [Fact]
    public async Task Heartbeats_go_as_datagrams_and_a_cut_stops_them_like_any_others()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await UpAsync(peers);
        await LoopbackPeer.UntilAsync(() => peers.All(peer => peer.Heartbeats.DatagramsHeard > 20), "heartbeats to come as datagrams");

        peers[0].Faults.Set(peers[1].Node, PeerFault.Cut);
        await LoopbackPeer.UntilAsync(() => peers[1].Heartbeats.View.Of(peers[0].Node) == Reachability.Down, "the silent node to be down");
        peers[0].Faults.Heal();
        await UpAsync(peers);
        await StopAsync(peers);
    }

    [Fact]
    public async Task Where_one_side_takes_no_datagrams_heartbeats_go_on_the_streams()
    {
        LoopbackPeer without = await LoopbackPeer.StartAsync(1, datagrams: false);
        LoopbackPeer with = await LoopbackPeer.StartAsync(2);
        LoopbackPeer.Introduce(without, with);
        await UpAsync(without, with);

        (without.Heartbeats.DatagramsHeard + with.Heartbeats.DatagramsHeard).Should().Be(0);
        await StopAsync(without, with);
    }

    [Fact]
    public async Task When_datagrams_get_lost_on_the_way_nobody_is_given_up()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await UpAsync(peers);
        await LoopbackPeer.UntilAsync(() => peers.All(peer => peer.Heartbeats.DatagramsHeard > 20), "heartbeats to come as datagrams");
        bool givenUp = false;
        peers[1].Heartbeats.Changed += view => givenUp |= view.Of(peers[0].Node) == Reachability.Down;

        // As if a firewall had been closed: what arrives is nobody's, the streams stand.
        peers[1].Heartbeats.RefuseDatagrams();
        long heard = peers[1].Heartbeats.DatagramsHeard;
        long begin = TimeProvider.System.GetTimestamp();
        await LoopbackPeer.UntilAsync(() => TimeProvider.System.GetElapsedTime(begin) > TimeSpan.FromSeconds(3), "three seconds to pass");

        givenUp.Should().BeFalse("the beats are repeated on the stream as soon as they are missed");
        peers[1].Heartbeats.View.Of(peers[0].Node).Should().NotBe(Reachability.Down);
        peers[1].Heartbeats.DatagramsHeard.Should().BeLessThanOrEqualTo(heard + 1);
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_datagram_without_the_token_of_a_stream_is_nobodys()
    {
        await using LoopbackPeer peer = await LoopbackPeer.StartAsync(1);
        peer.Knows(peer.Address, new PeerAddress(new Core.Identity.NodeId(2), "127.0.0.1:1"));
        using var stranger = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        for (ulong token = 0; token < 50; token++)
        {
            stranger.SendTo(new Heartbeat { Sequence = 1_000 + token, DatagramToken = token, Hears = { 1 } }.ToByteArray(), new IPEndPoint(IPAddress.Loopback, peer.Port));
            stranger.SendTo([(byte)token, 0xFF, 0xFF], new IPEndPoint(IPAddress.Loopback, peer.Port));
        }

        await LoopbackPeer.UntilAsync(() => peer.Heartbeats.View.Of(new Core.Identity.NodeId(2)) == Reachability.Down, "the peer that was never there to be down");
        peer.Heartbeats.DatagramsHeard.Should().Be(0);
    }

    private static async Task UpAsync(params LoopbackPeer[] peers)
    {
        foreach (LoopbackPeer peer in peers)
        {
            await LoopbackPeer.UntilAsync(() => peer.Heartbeats.View.Peers is { Count: > 0 } seen && seen.All(other => other is { Reachability: Reachability.Up, HearsUs: true }), "all to be up");
        }
    }

    private static async Task StopAsync(params LoopbackPeer[] peers)
    {
        foreach (LoopbackPeer peer in peers)
        {
            await peer.DisposeAsync();
        }
    }
}

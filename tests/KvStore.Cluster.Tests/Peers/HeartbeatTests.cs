using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.Node.Faults;
using KvStore.Node.Peers;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>Who lives, as heard over real sockets.</summary>
public sealed class HeartbeatTests
{
    [Fact]
    public async Task Nodes_hear_each_other_and_measure_the_way()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(3);

        foreach (LoopbackPeer peer in peers)
        {
            await LoopbackPeer.UntilAsync(() => peer.Heartbeats.View.Peers is { Count: 2 } seen && seen.All(other => other is { Reachability: Reachability.Up, HearsUs: true, RoundTripMs: > 0 }), "all to be up");
        }

        PeerLiveness second = peers[0].Heartbeats.View.Find(peers[1].Node)!;
        second.Incarnation.Should().Be(1_002);
        Math.Abs(second.ClockSkewMs).Should().BeLessThan(5_000, "both run on one clock");
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_cut_peer_is_down_within_the_deadline_and_up_after_the_heal()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await UpAsync(peers);
        int changes = 0;
        peers[1].Heartbeats.Changed += _ => Interlocked.Increment(ref changes);

        peers[0].Faults.Set(peers[1].Node, PeerFault.Cut);

        await LoopbackPeer.UntilAsync(() => peers[1].Heartbeats.View.Of(peers[0].Node) == Reachability.Down, "the silent node to be down");
        await LoopbackPeer.UntilAsync(() => peers[0].Heartbeats.View.Of(peers[1].Node) == Reachability.Down, "the other one too");
        peers[1].Heartbeats.View.Find(peers[0].Node)!.SinceHeard.Should().BeGreaterThan(TimeSpan.FromMilliseconds(200));

        peers[0].Faults.Heal();
        await UpAsync(peers);
        changes.Should().BeGreaterThanOrEqualTo(2);
        await StopAsync(peers);
    }

    [Fact]
    public async Task After_a_one_way_cut_the_hearing_side_knows_that_it_is_not_heard()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await UpAsync(peers);

        peers[0].Faults.Set(peers[1].Node, new PeerFault { CutOutbound = true });

        await LoopbackPeer.UntilAsync(() => peers[0].Heartbeats.View.Find(peers[1].Node) is { Reachability: Reachability.Up, HearsUs: false }, "the muted node to learn of it");
        peers[1].Heartbeats.View.Of(peers[0].Node).Should().NotBe(Reachability.Up);
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_node_that_makes_no_progress_stops_sending_and_peers_see_it()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await UpAsync(peers);

        peers[0].Alive = false;

        await LoopbackPeer.UntilAsync(() => peers[1].Heartbeats.View.Of(peers[0].Node) == Reachability.Down, "the stuck node to be down");
        peers[0].Heartbeats.View.Of(peers[1].Node).Should().Be(Reachability.Up, "it still hears");
        peers[0].Alive = true;
        await UpAsync(peers);
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_peer_that_was_never_there_is_down_after_the_grace()
    {
        await using LoopbackPeer alone = await LoopbackPeer.StartAsync(1);
        alone.Knows(alone.Address, new PeerAddress(new Core.Identity.NodeId(2), "127.0.0.1:1"));

        await LoopbackPeer.UntilAsync(() => alone.Heartbeats.View.Of(new Core.Identity.NodeId(2)) == Reachability.Down, "it to be down");
    }

    private static async Task UpAsync(LoopbackPeer[] peers)
    {
        await LoopbackPeer.UntilAsync(
            () => peers[0].Heartbeats.View.Find(peers[1].Node) is { Reachability: Reachability.Up, HearsUs: true }
                && peers[1].Heartbeats.View.Find(peers[0].Node) is { Reachability: Reachability.Up, HearsUs: true },
            "both to be up");
    }

    private static async Task StopAsync(params LoopbackPeer[] peers)
    {
        foreach (LoopbackPeer peer in peers)
        {
            await peer.DisposeAsync();
        }
    }
}

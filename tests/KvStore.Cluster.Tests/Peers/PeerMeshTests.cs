using FluentAssertions;
using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Faults;
using KvStore.Node.Peers;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>Streams between nodes over real sockets.</summary>
public sealed class PeerMeshTests
{
    [Fact]
    public async Task Three_nodes_exchange_frames_both_ways()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(3);
        await LoopbackPeer.ConnectedAsync(peers);

        foreach (LoopbackPeer from in peers)
        {
            foreach (LoopbackPeer to in peers.Where(to => to != from))
            {
                from.Say(to, $"{from.Node} to {to.Node}");
            }
        }

        foreach (LoopbackPeer from in peers)
        {
            foreach (LoopbackPeer to in peers.Where(to => to != from))
            {
                await LoopbackPeer.UntilAsync(() => to.HeardFrom(from).Contains($"{from.Node} to {to.Node}"), "every pair to talk");
            }
        }

        await StopAsync(peers);
    }

    [Fact]
    public async Task Messages_of_one_loop_arrive_in_order_and_complete()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);
        PeerOutbox outbox = peers[0].Mesh.CreateOutbox();
        string[] texts = [.. Enumerable.Range(0, 20_000).Select(i => $"message {i}")];

        for (int i = 0; i < texts.Length; i++)
        {
            outbox.Send(ShardId.System, peers[1].Node, DottedMessageKind.Replicate, System.Text.Encoding.UTF8.GetBytes(texts[i]));
            if (i % 7 == 0)
            {
                outbox.Flush();
            }
        }

        outbox.Flush();
        await LoopbackPeer.UntilAsync(() => peers[1].HeardFrom(peers[0]).Count == texts.Length, "all messages");
        peers[1].HeardFrom(peers[0]).Should().Equal(texts);
        await StopAsync(peers);
    }

    [Fact]
    public async Task Pages_of_several_megabytes_pass_on_the_bulk_stream()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);
        PeerOutbox outbox = peers[0].Mesh.CreateOutbox();
        for (int i = 0; i < 5; i++)
        {
            outbox.Send(ShardId.System, peers[1].Node, Page(i, bytes: 2_500_000));
        }

        outbox.Flush();

        await LoopbackPeer.UntilAsync(() => peers[1].Received.Count == 5, "five pages, one frame each");
        peers[1].Received.Sum(frame => frame.Bytes.Length).Should().BeGreaterThan(5 * 2_500_000);
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_one_way_cut_silences_one_direction_only_and_heals()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);
        peers[0].Faults.Set(peers[1].Node, new PeerFault { CutOutbound = true });

        peers[0].Say(peers[1], "lost");
        peers[1].Say(peers[0], "heard");

        await LoopbackPeer.UntilAsync(() => peers[0].HeardFrom(peers[1]).Contains("heard"), "the open direction");
        await LoopbackPeer.UntilAsync(() => peers[0].Mesh.Counters(peers[1].Node).Swallowed > 0, "the cut to swallow the frame");
        peers[0].Mesh.IsConnected(peers[1].Node).Should().BeTrue("a cut is a black hole, not a reset");

        peers[0].Faults.Heal();
        peers[0].Say(peers[1], "healed");
        await LoopbackPeer.UntilAsync(() => peers[1].HeardFrom(peers[0]).Contains("healed"), "the healed direction");
        peers[1].HeardFrom(peers[0]).Should().NotContain("lost");
        await StopAsync(peers);
    }

    [Fact]
    public async Task An_inbound_cut_drops_what_arrives()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);
        peers[1].Faults.Set(peers[0].Node, new PeerFault { CutInbound = true });

        peers[0].Say(peers[1], "lost");

        await LoopbackPeer.UntilAsync(() => peers[1].Mesh.InboundSwallowed > 0, "the frame to be swallowed");
        peers[1].Received.Should().BeEmpty();
        await StopAsync(peers);
    }

    [Fact]
    public async Task Every_frame_comes_twice_when_all_are_duplicated_and_never_when_all_are_dropped()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);

        peers[0].Faults.Set(peers[1].Node, new PeerFault { Duplicate = 1 });
        peers[0].Say(peers[1], "twice");
        await LoopbackPeer.UntilAsync(() => peers[1].HeardFrom(peers[0]).Count(text => text == "twice") == 2, "the duplicate");

        peers[0].Faults.Set(peers[1].Node, new PeerFault { Drop = 1 });
        peers[0].Say(peers[1], "never");
        await LoopbackPeer.UntilAsync(() => peers[0].Mesh.Counters(peers[1].Node).Swallowed == 1, "the drop");
        peers[1].HeardFrom(peers[0]).Should().NotContain("never");
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_delayed_link_delivers_later_and_in_order()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);
        peers[0].Faults.Set(peers[1].Node, new PeerFault { DelayMs = 300 });
        long begun = TimeProvider.System.GetTimestamp();

        peers[0].Say(peers[1], "first");
        peers[0].Say(peers[1], "second");

        await LoopbackPeer.UntilAsync(() => peers[1].HeardFrom(peers[0]).Count == 2, "both messages");
        TimeProvider.System.GetElapsedTime(begun).Should().BeGreaterThan(TimeSpan.FromMilliseconds(290));
        peers[1].HeardFrom(peers[0]).Should().Equal("first", "second");
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_full_queue_drops_the_newest_and_counts_and_refuses_forwarded_operations()
    {
        PeerMeshOptions small = new() { FrameQueueBytes = 100_000, MaxFrameBytes = 10_000 };
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2, small);
        await LoopbackPeer.ConnectedAsync(peers);
        peers[0].Faults.Set(peers[1].Node, new PeerFault { DelayMs = PeerFault.MaxDelayMs });
        PeerOutbox outbox = peers[0].Mesh.CreateOutbox();
        for (int i = 0; i < 50; i++)
        {
            outbox.Send(ShardId.System, peers[1].Node, DottedMessageKind.Replicate, new byte[4_000]);
            outbox.Flush();
        }

        PeerLinkCounters counters = peers[0].Mesh.Counters(peers[1].Node);
        counters.QueuedBytes.Should().BeLessThanOrEqualTo(small.FrameQueueBytes);
        counters.DroppedBuffers.Should().Be(26, "24 buffers of some 4,010 bytes fit into the bound");

        WireOperation operation = new() { Key = new byte[4_000] };
        int admitted = 0;
        while (outbox.SendOperation(peers[1].Node, 1, operation))
        {
            admitted++;
            outbox.Flush();
        }

        admitted.Should().BeLessThan(10, "a refusal tells the caller at once");
        peers[0].Mesh.Counters(peers[1].Node).DroppedBuffers.Should().Be(26, "what was admitted is never dropped");
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_node_that_is_down_gets_nothing_and_takes_no_operations()
    {
        await using LoopbackPeer alone = await LoopbackPeer.StartAsync(1);
        alone.Knows(alone.Address, new PeerAddress(new NodeId(2), "127.0.0.1:1"));
        PeerOutbox outbox = alone.Mesh.CreateOutbox();

        outbox.SendOperation(new NodeId(2), 1, new WireOperation { Key = new byte[1] }).Should().BeFalse();
        outbox.Send(ShardId.System, new NodeId(2), DottedMessageKind.Replicate, [1]);
        outbox.Flush();

        alone.Mesh.Counters(new NodeId(2)).DroppedBuffers.Should().Be(1);
        outbox.Send(ShardId.System, new NodeId(99), DottedMessageKind.Replicate, [1]);
        alone.Mesh.StrangersDropped.Should().Be(1);
    }

    [Fact]
    public async Task A_node_that_restarts_on_the_same_port_is_reconnected_and_its_loss_is_told()
    {
        LoopbackPeer first = await LoopbackPeer.StartAsync(1);
        LoopbackPeer second = await LoopbackPeer.StartAsync(2);
        LoopbackPeer.Introduce(first, second);
        await LoopbackPeer.ConnectedAsync(first, second);

        await second.DisposeAsync();
        await LoopbackPeer.UntilAsync(() => first.Disconnected.Contains(second.Node), "the loss to be told");
        await LoopbackPeer.UntilAsync(() => !first.Mesh.IsConnected(second.Node), "the stream to close");

        LoopbackPeer again = await LoopbackPeer.StartAsync(2, second.Port);
        LoopbackPeer.Introduce(first, again);
        await LoopbackPeer.ConnectedAsync(first, again);
        first.Say(again, "welcome back");
        await LoopbackPeer.UntilAsync(() => again.HeardFrom(first).Contains("welcome back"), "the new process to hear");
        await StopAsync(first, again);
    }

    [Fact]
    public async Task A_corrupt_frame_resets_the_connection_and_the_peer_connects_anew()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);
        peers[0].Say(peers[1], "pretend that this is corrupt");
        await LoopbackPeer.UntilAsync(() => !peers[1].Received.IsEmpty, "the frame");

        peers[1].Received.First().ResetConnection("a test says so");

        await LoopbackPeer.UntilAsync(() => peers[0].Disconnected.Contains(peers[1].Node), "the reset");
        await LoopbackPeer.ConnectedAsync(peers);
        peers[0].Say(peers[1], "again");
        await LoopbackPeer.UntilAsync(() => peers[1].HeardFrom(peers[0]).Contains("again"), "the new stream to work");
        await StopAsync(peers);
    }

    [Fact]
    public async Task A_member_that_is_removed_is_disconnected_both_ways()
    {
        LoopbackPeer[] peers = await LoopbackPeer.StartClusterAsync(2);
        await LoopbackPeer.ConnectedAsync(peers);

        peers[0].Knows(peers[0].Address);

        await LoopbackPeer.UntilAsync(() => !peers[1].Mesh.IsConnected(peers[0].Node), "the removed node to lose its stream");
        peers[0].Mesh.IsConnected(peers[1].Node).Should().BeFalse();
        await LoopbackPeer.UntilAsync(() => peers[1].Log.Lines.Any(line => line.Contains("not a member of cluster 'test'", StringComparison.Ordinal)), "the reason to be logged");
        await StopAsync(peers);
    }

    private static SnapshotPage Page(int number, int bytes) => new()
    {
        From = new ReplicaId(1),
        To = new ReplicaId(2),
        Term = new Term(1),
        SnapshotId = 1,
        Number = number,
        Last = false,
        Position = ViewPosition.Zero,
        Records = [new ScannedRecord(RecordSpace.Data, new byte[] { 1 }, new byte[bytes])],
    };

    private static async Task StopAsync(params LoopbackPeer[] peers)
    {
        foreach (LoopbackPeer peer in peers)
        {
            await peer.DisposeAsync();
        }
    }
}

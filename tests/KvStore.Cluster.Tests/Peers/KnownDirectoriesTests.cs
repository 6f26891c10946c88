using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Peers;
using KvStore.Storage;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>Scenarios 32 and 33: a node that lost its data directory, or runs on an old copy of it, is not let in under its old id.</summary>
public sealed class KnownDirectoriesTests
{
    private static readonly NodeId Peer = new(2);

    private readonly SimulatedDisk _disk = new();

    [Fact]
    public void Scenario_32_another_directory_of_the_same_node_is_refused()
    {
        var known = new KnownDirectories(null);

        known.Refusal(Peer, Hello(directory: 7)).Should().BeNull();
        known.Refusal(Peer, Hello(directory: 7, boot: 2, incarnation: 2)).Should().BeNull("a restart on the same directory is welcome");
        known.Refusal(Peer, Hello(directory: 8)).Should().Contain("Node 2 is known with the data directory 0000000000000007 and comes with 0000000000000008");
        known.Refusal(new NodeId(3), Hello(directory: 8)).Should().BeNull("that is another node's");
    }

    [Fact]
    public void What_is_known_survives_a_restart()
    {
        using (NodeStorage storage = Open())
        {
            new KnownDirectories(storage).Refusal(Peer, Hello(directory: 7, incarnation: 3, batch: 50)).Should().BeNull();
        }

        using NodeStorage again = Open();
        var known = new KnownDirectories(again);
        known.Refusal(Peer, Hello(directory: 8)).Should().NotBeNull();
        known.Refusal(Peer, Hello(directory: 7, incarnation: 4, boot: 2, batch: 49)).Should().NotBeNull("fifty batches were durable");
        known.Refusal(Peer, Hello(directory: 7, incarnation: 4, boot: 2, batch: 50)).Should().BeNull();
    }

    [Fact]
    public void Scenario_33_an_older_copy_of_the_directory_is_refused_by_what_its_last_process_had_durable()
    {
        var known = new KnownDirectories(null);
        known.Refusal(Peer, Hello(incarnation: 5, boot: 1, batch: 100)).Should().BeNull();
        known.Heard(Peer, 120);

        known.Refusal(Peer, Hello(incarnation: 6, boot: 2, batch: 100)).Should().Contain("an older copy of its data directory (start 6 with 100 durable batches; known are start 5 with 120)");
        known.Refusal(Peer, Hello(incarnation: 6, boot: 2, batch: 120)).Should().BeNull();
    }

    [Fact]
    public void Scenario_33_an_older_copy_that_was_started_less_often_or_as_often_is_refused()
    {
        var known = new KnownDirectories(null);
        known.Refusal(Peer, Hello(incarnation: 5, boot: 1)).Should().BeNull();

        known.Refusal(Peer, Hello(incarnation: 4, boot: 2)).Should().NotBeNull();
        known.Refusal(Peer, Hello(incarnation: 5, boot: 2)).Should().NotBeNull("the same start of another process");
        known.Refusal(Peer, Hello(incarnation: 5, boot: 1)).Should().BeNull("the same process on a new stream");
    }

    [Fact]
    public void A_new_stream_whose_greeting_was_overtaken_by_heartbeats_is_welcome()
    {
        var known = new KnownDirectories(null);
        known.Refusal(Peer, Hello(batch: 10)).Should().BeNull();
        known.Heard(Peer, 30);

        known.Refusal(Peer, Hello(batch: 20)).Should().BeNull();
    }

    [Fact]
    public void A_replaced_peer_is_welcome_with_its_new_generation_only()
    {
        using NodeStorage storage = Open();
        var known = new KnownDirectories(storage);
        known.Refusal(Peer, Hello(directory: 7)).Should().BeNull();
        known.Refusal(Peer, Hello(directory: 8, generation: 1)).Should().Contain("comes as generation 1, and this node knows of generation 0");

        known.SetGeneration(Peer, 1).Should().BeTrue();
        known.SetGeneration(Peer, 1).Should().BeFalse("that is no news");

        known.Refusal(Peer, Hello(directory: 7)).Should().Contain("was replaced: generation 1 has its place, and this is generation 0");
        known.Refusal(Peer, Hello(directory: 8, generation: 1)).Should().BeNull();
        known.Refusal(Peer, Hello(directory: 9, generation: 1)).Should().NotBeNull("the new generation has a directory now");
        new KnownDirectories(storage).Refusal(Peer, Hello(directory: 7)).Should().Contain("was replaced", "it is remembered");
    }

    [Fact]
    public void A_damaged_file_is_refused_with_a_sentence()
    {
        using NodeStorage storage = Open();
        storage.WriteNote("peers.known", "kvstore peers 1\n2 0 seven\n"u8);

        storage.Invoking(damaged => new KnownDirectories(damaged)).Should().Throw<StorageRefusedException>().WithMessage("The file peers.known in the data directory is damaged*");
    }

    private static Hello Hello(ulong directory = 7, ulong incarnation = 1, ulong boot = 1, ulong batch = 0, uint generation = 0) =>
        new() { Node = Peer.Value, Directory = directory, Incarnation = incarnation, Boot = boot, DurableBatch = batch, Generation = generation };

    private NodeStorage Open() => NodeStorage.Open(new StorageOptions { ClusterId = "test", NodeId = new NodeId(1), Engine = StorageEngine.Memory, Disk = _disk });
}

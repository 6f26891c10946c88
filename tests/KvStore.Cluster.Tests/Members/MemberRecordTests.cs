using System.Collections.Immutable;
using FluentAssertions;
using Google.Protobuf;
using KvStore.Contracts.V1;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Catalog;
using KvStore.Node.Hosting;
using KvStore.Storage;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;
using MemberState = KvStore.Node.Catalog.MemberState;

namespace KvStore.Cluster.Tests.Members;

/// <summary>What is kept of members: in the catalog, whose older records must stay readable, and beside the log.</summary>
public sealed class MemberRecordTests : IDisposable
{
    private readonly NodeStorage _storage = NodeStorage.Open(new StorageOptions { ClusterId = "bench", NodeId = new NodeId(1), Engine = Storage.StorageEngine.Memory });

    public void Dispose() => _storage.Dispose();

    [Fact]
    public void A_catalog_comes_back_with_its_members_states_and_removed_ids()
    {
        var bench = new PlanBench(members: 4, seed: 3, (4, 3, 5));
        bench.Remove(4);
        bench.Settle();
        bench.Add(5);
        ClusterCatalog back = CatalogCodec.Decode(CatalogCodec.Encode(bench.Catalog));
        back.Members.Should().Equal(bench.Catalog.Members);
        back.Removed.Should().Equal(new NodeId(4));
        back.Find(new NodeId(5))!.State.Should().Be(MemberState.Joining);
        back.Keyspaces[1].WantedReplicas.Should().Be(5);
        back.Keyspaces[0].Founders[0].Should().HaveCount(4);
        back.Keyspaces[0].Shards[0].Select(replica => replica.Node.Value).Should().Equal(1, 2, 3, 5);
    }

    [Fact]
    public void A_record_of_an_earlier_version_says_that_all_members_have_settled_and_wants_what_was_founded()
    {
        CatalogRecord old = CatalogRecord.Parser.ParseFrom(CatalogCodec.Encode(new PlanBench(members: 3, seed: 3, (4, 3, 3)).Catalog));
        old.RemovedNodes.Clear();
        foreach (Keyspace keyspace in old.Keyspaces)
        {
            keyspace.WantedReplicas = 0;
        }

        ClusterCatalog catalog = CatalogCodec.Decode(old.ToByteArray());
        catalog.IsChanging.Should().BeFalse();
        catalog.Removed.Should().BeEmpty();
        catalog.Keyspaces[1].WantedReplicas.Should().Be(3);
    }

    [Fact]
    public void The_flags_of_a_later_start_do_not_say_any_more_who_founded_the_cluster()
    {
        KnownMembers founding = MemberRoster.Founding([new(new NodeId(1), "a:1"), new(new NodeId(2), "b:1")]);
        MemberRoster.Begin(_storage, "bench", founding, NullLogger.Instance);
        MemberRoster later = MemberRoster.Read(_storage, "bench", [new(new NodeId(1), "a:2"), new(new NodeId(2), "b:1"), new(new NodeId(3), "c:1")], NullLogger.Instance)!;
        later.Initial.Keyspaces[0].Founders[0].Select(founder => founder.Node.Value).Should().Equal(1, 2);
        later.Known.Members.Select(member => member.Address).Should().Equal(["a:2", "b:1"], "where they are may change until the catalog says it");
        later.Initial.Revision.Should().Be(0);
    }

    [Fact]
    public void The_list_of_members_only_goes_forward()
    {
        ClusterCatalog catalog = ClusterCatalog.Initial("bench", [PlanBench.Member(1), PlanBench.Member(2)]);
        MemberRoster roster = MemberRoster.Begin(_storage, "bench", MemberRoster.Of(catalog), NullLogger.Instance);
        List<ulong> heard = [];
        roster.Changed += members => heard.Add(members.Revision);
        ClusterCatalog grown = catalog.WithJoining(new NodeId(3), "node3:7001", 1);
        roster.Learn(MemberRoster.Of(grown)).Should().BeTrue();
        roster.Learn(MemberRoster.Of(catalog)).Should().BeFalse("as a node reads it after a restart");
        roster.Learn(MemberRoster.Of(grown)).Should().BeFalse();
        heard.Should().Equal(grown.Revision);
        MemberRoster.FromWire(roster.ToWire()).IsSameAs(roster.Known).Should().BeTrue();
    }

    [Fact]
    public void Under_which_id_a_shard_is_held_is_remembered()
    {
        var shard = new ShardId(7, 3);
        var held = new HeldReplicas(_storage);
        held.Of(shard).Replica.IsNone.Should().BeTrue();
        held.Note([(shard, new ReplicaId(90_000), false)]);
        new HeldReplicas(_storage).Of(shard).Should().Be(new HeldReplicas.Held(new ReplicaId(90_000), false));
        held.Note([(shard, new ReplicaId(90_000), true)]);
        new HeldReplicas(_storage).Of(shard).IsGone.Should().BeTrue();
        _storage.WriteNote("replicas.held", "nonsense"u8);
        ((Action)(() => _ = new HeldReplicas(_storage))).Should().Throw<StorageRefusedException>().WithMessage("*damaged*");
    }

    [Fact]
    public void A_shard_waits_for_a_new_node_that_is_not_heard_and_lets_nobody_go_meanwhile()
    {
        ImmutableArray<ReplicaPlace> founders = [Place(1, 1), Place(2, 2), Place(3, 3)];
        ShardMembers members = ShardMembers.Founding(founders);
        ReplicaPlace successor = Place(3, 90);
        ReplicaPlace fourth = Place(4, 91);
        PlacementKeeper.NextStep(members, [.. founders], _ => true).Should().BeNull();
        PlacementKeeper.NextStep(members, [Place(1, 1), Place(2, 2), successor], node => node.Value != 3).Should().BeNull("the old one votes until the new one can");
        PlacementKeeper.NextStep(members, [.. founders, fourth], _ => true)!.Value.Learners.Should().Equal(fourth);

        ShardMembers learning = members.After(new MembershipConfig(founders.Select(place => place.Replica), [fourth.Replica]), [.. founders, fourth]);
        PlacementKeeper.NextStep(learning, [.. founders, fourth, Place(5, 92)], node => node.Value != 5)!.Value.Voters.Should().Equal([.. founders, fourth], "who is ready does not wait for who is not");
        PlacementKeeper.NextStep(learning, [.. founders], _ => true)!.Value.Learners.Should().BeEmpty("a newcomer that is not wanted any more goes");
        PlacementKeeper.NextStep(members, [Place(1, 1), Place(2, 2)], _ => true)!.Value.Voters.Should().Equal(Place(1, 1), Place(2, 2));
    }

    [Fact]
    public void A_node_founds_or_joins_and_not_both()
    {
        var joins = new NodeOptions { ClusterId = "bench", NodeId = 4, ListenHost = "0.0.0.0", Engine = Node.Hosting.StorageEngine.Memory, Join = ["10.0.0.1:7001"] };
        NodeOptionsValidation.Problems(joins).Should().BeEmpty();
        NodeOptionsValidation.Problems(joins with { Join = ["somewhere"] }).Should().ContainSingle().Which.Should().Contain("Can't join at 'somewhere'");
        NodeOptionsValidation.Problems(joins with { Members = [new(new NodeId(4), "10.0.0.4:7001")] }).Should().ContainSingle().Which.Should().Contain("exclude each other");
        NodeCommandLine.Parse(["--join", "a:1", "--join", "b:2"], new Dictionary<string, string>()).Join.Should().Equal("a:1", "b:2");
    }

    private static ReplicaPlace Place(uint node, ulong replica) => new(new NodeId(node), new ReplicaId(replica));
}

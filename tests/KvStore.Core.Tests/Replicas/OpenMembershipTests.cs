using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>The configuration group of an open shard changes its members as any other; the data follows by the dotted engine's own ways.</summary>
public class OpenMembershipTests
{
    [Fact]
    public void A_newcomer_copies_everything_before_it_may_vote_and_then_counts()
    {
        ReplicaCluster cluster = Filled();
        ReplicaMachine newcomer = cluster.Add(PlaceOf(4));
        cluster.Get(newcomer, "a", ReadLevel.Eventual).Code.Should().Be(RefusalCode.Recovering, "it is no member yet");

        cluster.Lost.Add(nameof(DottedMessageKind.FullCopyPage));
        cluster.Change(Places(1, 2, 3), Places(4)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(100);
        Completion hasty = cluster.Change(Places(1, 2, 3, 4), []);
        (hasty.Outcome, hasty.Code).Should().Be((Outcome.NotDone, RefusalCode.NotCaughtUp));
        cluster.Get(newcomer, "a", ReadLevel.Eventual).Degraded.Should().BeTrue("it says itself that something may be missing");

        cluster.Lost.Clear();
        cluster.TickUntil(() => TextOf(cluster.Get(newcomer, "b", ReadLevel.Eventual)) == "2", "the copy is there");
        cluster.TickUntil(() => cluster.Change(Places(1, 2, 3, 4), []).Outcome == Outcome.Done, "it may vote");
        cluster.Get(newcomer, "a", ReadLevel.Quorum).Acknowledgements.Should().BeGreaterThanOrEqualTo(3, "a majority of four");
        cluster.Put(newcomer, "c", "3").Acknowledgements.Should().BeGreaterThanOrEqualTo(3);
    }

    [Fact]
    public void Nobody_waits_for_a_replica_that_was_removed_and_it_serves_no_more()
    {
        ReplicaCluster cluster = Filled();
        cluster.Cut(3);
        cluster.Tick(60);
        cluster.TickUntilLed();
        cluster.Change(Places(1, 2), []).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[1], "a", "4").Acknowledgements.Should().Be(2);
        cluster[1].Status.Members.Should().HaveCount(2);

        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Replica.IsRemoved, "it is told");
        Completion refused = cluster.Put(cluster[3], "a", "5");
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.ReplicaRemoved));
        cluster.TickUntil(() => cluster[1].Status.PeerLag == 0, "no dot is kept for it");
    }

    [Fact]
    public void A_replica_whose_writes_have_not_come_over_yet_is_not_removed()
    {
        ReplicaCluster cluster = Filled();
        cluster.Lost.Add(nameof(DottedMessageKind.Replicate));
        cluster.Lost.Add(nameof(DottedMessageKind.PullPage));
        cluster.SubmitOnly(cluster[3], new ClientOperation { Kind = OperationKind.Put, Key = "x"u8.ToArray(), Value = "only here"u8.ToArray() });
        cluster.Tick(60);

        Completion refused = cluster.Change(Places(1, 2), []);
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.NotCaughtUp));
        refused.Reason.Should().Contain("r3");

        cluster.Lost.Clear();
        cluster.Tick(200);
        cluster.Change(Places(1, 2), []).Outcome.Should().Be(Outcome.Done);
        TextOf(cluster.Get(cluster[1], "x", ReadLevel.Eventual)).Should().Be("only here");
    }

    [Fact]
    public void A_wiped_replica_comes_back_under_a_new_id_and_the_members_survive_restarts()
    {
        ReplicaCluster cluster = Filled();
        var renewed = new ReplicaPlace(new NodeId(3), new ReplicaId(9));
        cluster[3].ComeBackEmpty(under: renewed.Replica);
        cluster.Tick(60);
        cluster.TickUntilLed();
        cluster.Change(Places(1, 2, 3), [renewed]).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster.Change([.. Places(1, 2), renewed], []).Outcome == Outcome.Done, "it has copied everything and votes");
        cluster.Tick(100);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].LosePower();
            cluster[node].Start();
        }

        cluster.TickUntilLed();
        cluster.Tick(100);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].Members.Should().Be("r1 r2 r9");
            TextOf(cluster.Get(cluster[node], "b", ReadLevel.Quorum)).Should().Be("2");
        }
    }

    private static ReplicaCluster Filled()
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.Put(cluster[1], "a", "1").Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[2], "b", "2").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        return cluster;
    }
}

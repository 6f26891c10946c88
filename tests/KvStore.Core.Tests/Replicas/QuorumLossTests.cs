using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Scenario 40: a quorum that is lost for good. Nothing but an operator's word lets a minority go on.</summary>
public class QuorumLossTests
{
    [Fact]
    public void Scenario_40_the_last_replica_goes_on_alone_when_it_is_told_so_and_only_then()
    {
        ReplicaCluster cluster = Minority(founders: 3, lost: [2, 3]);
        cluster.SubmitOnly(cluster[1], new ClientOperation { Kind = OperationKind.Put, Key = "b"u8.ToArray(), Value = "only here"u8.ToArray() });
        cluster.Tick(60);
        Restart(cluster[1]);
        cluster.Tick(400);
        cluster[1].Replica.IsLeader.Should().BeFalse("nobody has allowed it");

        Restart(cluster[1], givenUp: [2, 3]);
        cluster.TickUntilLed();
        QuorumLoss loss = cluster[1].Replica.QuorumLoss!;
        (loss.IsForced, loss.Before.Places.Length, loss.Last > loss.Settled).Should().Be((true, 3, true));
        cluster[1].Members.Should().Be("r1");
        TextOf(cluster.Get(cluster[1], "a")).Should().Be("1");
        TextOf(cluster.Get(cluster[1], "b")).Should().Be("only here", "what it has is taken for committed");
        cluster.Put(cluster[1], "c", "3").Outcome.Should().Be(Outcome.Done);

        Restart(cluster[1]);
        cluster.TickUntilLed();
        cluster[1].Members.Should().Be("r1", "it stays so");
        TextOf(cluster.Get(cluster[1], "c")).Should().Be("3");
    }

    [Fact]
    public void Scenario_40_it_takes_in_others_and_who_was_given_up_is_sent_away()
    {
        ReplicaCluster cluster = Minority(founders: 3, lost: [2, 3]);
        Restart(cluster[1], givenUp: [2, 3]);
        cluster.TickUntilLed();
        ReplicaMachine newcomer = cluster.Add(PlaceOf(4));
        cluster.Change(Places(1), Places(4)).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster.Change(Places(1, 4), []).Outcome == Outcome.Done, "the newcomer votes");
        TextOf(cluster.Get(newcomer, "a", ReadLevel.Eventual)).Should().Be("1");

        cluster[2].Start();
        cluster.TickUntil(() => cluster[2].Replica.IsRemoved, "it is told");
        cluster.Put(cluster.Leader, "a", "2").Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void Scenario_40_with_a_majority_or_with_other_voters_that_were_not_given_up_nothing_is_forced()
    {
        ReplicaCluster cluster = Minority(founders: 3, lost: [3]);
        Restart(cluster[1], givenUp: [3]);
        cluster.TickUntilLed();
        cluster[1].Replica.QuorumLoss.Should().BeNull();
        cluster[1].Members.Should().Be("r1 r2 r3");

        ReplicaCluster five = Minority(founders: 5, lost: [3, 4, 5]);
        Restart(five[1], givenUp: [3, 4, 5]);
        five.Tick(400);
        QuorumLoss loss = five[1].Replica.QuorumLoss!;
        loss.IsForced.Should().BeFalse();
        loss.Others.Should().Equal(PlaceOf(2));
        five[1].Replica.IsLeader.Should().BeFalse("two that go on alone would be two histories");
    }

    [Fact]
    public void Scenario_40_the_log_goes_on_in_a_term_that_no_lost_leader_can_have()
    {
        ReplicaCluster cluster = Minority(founders: 3, lost: [2, 3]);
        ulong before = cluster[1].Replica.Term.Value;
        Restart(cluster[1], givenUp: [2, 3]);
        cluster.TickUntilLed();
        cluster[1].Replica.Term.Value.Should().BeGreaterThan(before + 100_000);
    }

    /// <summary>A cluster that holds a = 1 and has lost some nodes.</summary>
    private static ReplicaCluster Minority(int founders, uint[] lost)
    {
        var cluster = new ReplicaCluster(founders);
        cluster.Elect(1);
        cluster.Put(cluster[1], "a", "1").Outcome.Should().Be(Outcome.Done);
        foreach (uint node in lost)
        {
            cluster[node].LosePower();
        }

        return cluster;
    }

    private static void Restart(ReplicaMachine machine, params uint[] givenUp)
    {
        machine.LosePower();
        machine.Start([.. givenUp.Select(node => new NodeId(node))]);
    }
}

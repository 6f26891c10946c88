using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

public class MembershipTests
{
    private static readonly ReplicaPlace NewThird = new(new NodeId(3), new ReplicaId(9));

    [Fact]
    public void A_newcomer_enters_as_a_learner_catches_up_and_then_votes()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Put(leader, "k", "old");
        ReplicaMachine newcomer = cluster.Add(PlaceOf(4));

        Completion hasty = cluster.Change(Places(1, 2, 3, 4), []);
        (hasty.Outcome, hasty.Code).Should().Be((Outcome.NotDone, RefusalCode.InvalidArgument));
        hasty.Reason.Should().Contain("learner first");

        cluster.Change(Places(1, 2, 3), Places(4)).Outcome.Should().Be(Outcome.Done);
        leader.Members.Should().Be("r1 r2 r3 learning r4");
        cluster.Tick(5);
        TextOf(cluster.Get(newcomer, "k", ReadLevel.Eventual)).Should().Be("old");

        cluster.Change(Places(1, 2, 3, 4), []).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(5);
        newcomer.Members.Should().Be("r1 r2 r3 r4");
        cluster.Put(leader, "k", "new").Acknowledgements.Should().Be(3, "a majority of four");
    }

    [Fact]
    public void A_newcomer_that_nobody_has_let_in_serves_nothing_and_stands_for_nothing()
    {
        var cluster = new ReplicaCluster(3);
        cluster.Elect(1);
        ReplicaMachine newcomer = cluster.Add(PlaceOf(4));
        cluster.Tick(200);

        cluster.Get(newcomer, "k", ReadLevel.Eventual).Code.Should().Be(RefusalCode.Recovering);
        newcomer.Status.Role.Should().Be(RaftRole.Follower);
        cluster.Leader.Node.Should().Be(new NodeId(1));
    }

    [Fact]
    public void Several_voters_change_at_once_through_a_joint_configuration_that_the_leader_leaves_by_itself()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Add(PlaceOf(4));
        cluster.Add(PlaceOf(5));
        cluster.Change(Places(1, 2, 3), Places(4, 5)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(5);

        cluster.Change(Places(1, 4, 5), Places(3)).Outcome.Should().Be(Outcome.Done);
        leader.Members.Should().Be("r1 r4 r5 learning r3");
        cluster.Put(leader, "k", "v").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(5);
        cluster[4].Members.Should().Be(leader.Members);
        cluster[5].Members.Should().Be(leader.Members);
    }

    [Fact]
    public void Scenario_36_a_second_change_is_refused_until_the_first_is_applied()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Add(PlaceOf(4));
        cluster.Add(PlaceOf(5));

        ulong first = cluster.Ask(leader, Places(1, 2, 3), Places(4));
        ulong second = cluster.Ask(leader, Places(1, 2, 3), Places(5));
        cluster.Answers.Should().NotContainKey(first);
        (cluster.Answers[second].Outcome, cluster.Answers[second].Code).Should().Be((Outcome.NotDone, RefusalCode.ChangePending));

        cluster.Settle();
        cluster.Answers[first].Outcome.Should().Be(Outcome.Done);
        cluster.Change(Places(1, 2, 3), Places(4, 5)).Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void Scenario_38_a_leader_that_removes_itself_says_so_and_hands_over()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Put(leader, "k", "v");

        cluster.Change(Places(2, 3), []).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(3);

        leader.Replica.IsLeader.Should().BeFalse();
        leader.Replica.IsRemoved.Should().BeTrue();
        leader.Status.Removed.Should().BeTrue();
        cluster.Get(leader, "k", ReadLevel.Eventual).Code.Should().Be(RefusalCode.ReplicaRemoved);
        cluster.TickUntilLed();
        cluster.Leader.Node.Should().NotBe(new NodeId(1));
        cluster.Leader.Members.Should().Be("r2 r3");
        TextOf(cluster.Get(cluster.Leader, "k")).Should().Be("v");
    }

    [Fact]
    public void A_removed_leader_that_alone_knows_what_is_committed_says_so_when_it_is_asked_for_its_vote()
    {
        var cluster = new ReplicaCluster(2);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Add(PlaceOf(4));
        cluster.Change(Places(1, 2), Places(4)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(5);
        ulong asked = cluster.Ask(leader, Places(2, 4), []);
        for (int i = 0; i < 50 && !leader.Status.IsJoint; i++)
        {
            cluster.Step();
        }

        // The final configuration is on its way; nothing that comes after it reaches anybody, not even that it is committed.
        cluster.Lost.UnionWith(["Append", "Heartbeat", "TimeoutNow"]);
        cluster.SubmitOnly(leader, new ClientOperation { Kind = OperationKind.Put, Key = "k"u8.ToArray(), Value = "never committed"u8.ToArray() });
        cluster.Settle();
        cluster.Answers[asked].Outcome.Should().Be(Outcome.Done);
        leader.Replica.IsRemoved.Should().BeTrue();
        cluster[2].Status.IsJoint.Should().BeTrue();
        cluster[4].Status.IsJoint.Should().BeTrue();
        leader.Status.LastIndex.Value.Should().BeGreaterThan(cluster[2].Status.LastIndex.Value);

        cluster.Lost.Clear();
        cluster.TickUntilLed();
        cluster.Tick(5);
        cluster[2].Members.Should().Be("r2 r4");
        cluster[4].Members.Should().Be("r2 r4");
        cluster.Put(cluster.Leader, "k", "v").Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void After_a_loss_of_power_nobody_needs_the_removed_replica_to_find_out_that_it_was_removed()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Change(Places(1, 2), []).Outcome.Should().Be(Outcome.Done);
        cluster.Change(Places(1), []).Outcome.Should().Be(Outcome.Done);
        cluster.Settle();

        // What has left is destroyed, and the one voter that remains has nothing but its log.
        cluster[2].LosePower();
        cluster[3].LosePower();
        leader.LosePower();
        leader.Start();
        cluster.TickUntilLed();

        cluster.Leader.Should().Be(leader);
        leader.Members.Should().Be("r1");
        cluster.Put(leader, "k", "v").Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void Scenario_37_a_removed_replica_that_missed_it_comes_back_is_told_and_disrupts_nobody()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Cut(3);
        cluster.Change(Places(1, 2), []).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(100);
        cluster[3].Replica.IsRemoved.Should().BeFalse("nobody could tell it");
        Term before = leader.Replica.Term;

        cluster.Heal();
        cluster.Tick(100);

        cluster.Leader.Should().Be(leader);
        leader.Replica.Term.Should().Be(before);
        cluster[3].Replica.IsRemoved.Should().BeTrue();
        cluster.Get(cluster[3], "k", ReadLevel.Eventual).Code.Should().Be(RefusalCode.ReplicaRemoved);
        Completion again = cluster.Change(Places(1, 2), Places(3));
        (again.Outcome, again.Code).Should().Be((Outcome.NotDone, RefusalCode.InvalidArgument));
        again.Reason.Should().Contain("r3").And.Contain("used before");
    }

    [Fact]
    public void Scenario_35_the_majority_changes_its_members_during_a_partition_and_what_the_cut_off_leader_asked_for_is_unknown()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine old = cluster.Elect(1);
        cluster.Add(PlaceOf(4));
        cluster.Put(old, "k", "before");
        cluster.Cut(1);
        ulong asked = cluster.Ask(old, Places(1, 2), []);
        cluster.TickUntil(() => cluster.Answers.ContainsKey(asked), "an answer of the cut-off leader");
        cluster.Answers[asked].Outcome.Should().Be(Outcome.Unknown);

        cluster.TickUntil(() => cluster[2].Replica.IsLeader || cluster[3].Replica.IsLeader, "the others elect");
        ReplicaMachine leader = cluster[2].Replica.IsLeader ? cluster[2] : cluster[3];
        cluster.Change(Places(1, 2, 3), Places(4)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(10);
        cluster.Change(Places(2, 3, 4), []).Outcome.Should().Be(Outcome.Done);
        cluster.Put(leader, "k", "after").Outcome.Should().Be(Outcome.Done);

        cluster.Heal();
        cluster.Tick(100);
        cluster.Leader.Should().Be(leader);
        cluster[1].Replica.IsRemoved.Should().BeTrue();
        foreach (uint node in (uint[])[2, 3, 4])
        {
            cluster[node].Members.Should().Be("r2 r3 r4");
            TextOf(cluster.Get(cluster[node], "k", ReadLevel.Eventual)).Should().Be("after");
        }
    }

    [Fact]
    public void Scenario_32_a_voter_whose_disk_was_wiped_comes_back_under_a_new_id_learns_and_only_then_votes()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Cut(2);
        cluster.Put(leader, "k", "acknowledged by r1 and r3").Outcome.Should().Be(Outcome.Done);
        cluster[3].ComeBackEmpty(under: new ReplicaId(9));
        cluster.Heal();
        leader.LosePower();
        cluster.Tick(400);

        // With its old id, the empty replica and the one that was cut off would have been a majority without the write.
        cluster[2].Replica.IsLeader.Should().BeFalse();
        cluster[3].Replica.IsLeader.Should().BeFalse();

        leader.Start();
        cluster.TickUntilLed();
        leader.Replica.IsLeader.Should().BeTrue();
        cluster.Change(Places(1, 2, 3), [NewThird]).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(10);
        cluster.Change([.. Places(1, 2), NewThird], []).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(10);
        cluster[3].Members.Should().Be("r1 r2 r9");
        TextOf(cluster.Get(cluster[3], "k", ReadLevel.Eventual)).Should().Be("acknowledged by r1 and r3");
        cluster.Change([.. Places(1, 2), NewThird], Places(3)).Code.Should().Be(RefusalCode.InvalidArgument, "r3 is gone for good");
    }

    [Fact]
    public void No_change_may_leave_a_majority_that_is_not_here()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Tick(5);
        cluster.Cut(3);
        cluster.Tick(40);

        Completion refused = cluster.Change(Places(1, 3), []);
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.NotCaughtUp));
        refused.Reason.Should().Contain("1 of the 2 voters");
        leader.Members.Should().Be("r1 r2 r3");
        cluster.Change(Places(1, 2), []).Outcome.Should().Be(Outcome.Done, "the one that is missing may go");
    }

    [Fact]
    public void A_learner_that_is_silent_or_lags_does_not_get_a_vote()
    {
        var cluster = new ReplicaCluster(3, options: new ReplicaOptions { Raft = new RaftOptions { MaxPromotionLag = 3 } });
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Change(Places(1, 2, 3), Places(4)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(50);
        cluster.Change(Places(1, 2, 3, 4), []).Code.Should().Be(RefusalCode.NotCaughtUp, "r4 does not even run");

        cluster.Add(PlaceOf(4));
        cluster.Tick(10);
        cluster.Cut(4);
        for (int i = 0; i < 5; i++)
        {
            cluster.Put(leader, "k", "v" + i);
        }

        Completion early = cluster.Change(Places(1, 2, 3, 4), []);
        early.Code.Should().Be(RefusalCode.NotCaughtUp);
        early.Reason.Should().Contain("r4");

        cluster.Heal();
        cluster.Tick(10);
        cluster.Change(Places(1, 2, 3, 4), []).Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void The_members_survive_power_losses_and_come_with_the_snapshot()
    {
        var cluster = new ReplicaCluster(3, options: new ReplicaOptions { KeepEntries = 2, CompactStep = 1 }, retainedLogBytes: 32 * 1024);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Add(PlaceOf(4));
        cluster.Change(Places(1, 2, 3), Places(4)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(5);
        cluster.Change(Places(1, 2, 4), []).Outcome.Should().Be(Outcome.Done);
        for (int i = 0; i < 20; i++)
        {
            cluster.Put(leader, "k" + i, new string('v', 1_000));
        }

        cluster.Tick(50);
        ReplicaMachine late = cluster.Add(PlaceOf(5));
        cluster.Change(Places(1, 2, 4), Places(5)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(20);
        cluster.Pages.Should().Contain(late.Node);
        late.Members.Should().Be("r1 r2 r4 learning r5");

        foreach (uint node in (uint[])[1, 2, 4, 5])
        {
            cluster[node].LosePower();
            cluster[node].Start();
        }

        cluster.TickUntilLed();
        cluster.Tick(10);
        foreach (uint node in (uint[])[1, 2, 4, 5])
        {
            cluster[node].Members.Should().Be("r1 r2 r4 learning r5");
        }

        cluster.Change(Places(1, 2, 4), Places(3)).Code.Should().Be(RefusalCode.InvalidArgument, "who was removed is remembered");
    }

    [Fact]
    public void Only_the_leader_changes_members_and_others_say_who_that_is()
    {
        var cluster = new ReplicaCluster(3);
        cluster.Elect(1);
        cluster.Tick(3);

        Completion refused = cluster.Answers[cluster.Ask(cluster[2], Places(1, 2), [])];
        (refused.Outcome, refused.Code, refused.LeaderHint).Should().Be((Outcome.NotDone, RefusalCode.NotLeader, new NodeId(1)));
        cluster.Cut(2);
        cluster.Tick(60);
        cluster.Answers[cluster.Ask(cluster[2], Places(1, 2), [])].Code.Should().Be(RefusalCode.NoLeader);
    }

    [Fact]
    public void Leadership_is_handed_to_a_voter_on_request_and_to_nobody_else()
    {
        var cluster = new ReplicaCluster(3);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Add(PlaceOf(4));
        cluster.Change(Places(1, 2, 3), Places(4)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(5);

        leader.Replica.TransferLeadership(new NodeId(4)).Should().BeFalse("a learner can't lead");
        cluster[2].Replica.TransferLeadership(new NodeId(3)).Should().BeFalse("it does not lead");
        leader.Replica.TransferLeadership(new NodeId(3)).Should().BeTrue();
        cluster.Tick(3);
        cluster.Leader.Node.Should().Be(new NodeId(3));
    }

    [Fact]
    public void A_wish_that_contradicts_itself_is_refused_in_words()
    {
        var cluster = new ReplicaCluster(3);
        cluster.Elect(1);

        cluster.Change([], []).Reason.Should().Contain("at least one voter");
        cluster.Change(Places(1, 2, 3), Places(3)).Reason.Should().Contain("named once");
        cluster.Change(Places(1, 2, 3), [new ReplicaPlace(new NodeId(4), new ReplicaId(4)), new ReplicaPlace(new NodeId(4), new ReplicaId(5))]).Reason.Should().Contain("fall together");
        cluster.Change([new ReplicaPlace(new NodeId(7), new ReplicaId(1)), .. Places(2, 3)], []).Reason.Should().Contain("r1");
        cluster.Change(Places(1, 2, 3), []).Outcome.Should().Be(Outcome.Done, "it is so already");
    }
}

using System.Text;
using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>A live shard changes its mode: cp to ap, ap to cp, and the replication alone.</summary>
public class RegimeSwitchTests
{
    private static readonly KeyspaceMode CpSync = new(PartitionChoice.Cp, Replication.Sync);
    private static readonly KeyspaceMode CpAsync = new(PartitionChoice.Cp, Replication.Async);
    private static readonly KeyspaceMode ApSync = new(PartitionChoice.Ap, Replication.Sync);

    [Fact]
    public void A_change_of_replication_alone_is_one_entry_and_one_epoch()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp);
        cluster.ChangeMode(CpAsync).Outcome.Should().Be(Outcome.Done);
        AllAre(cluster, RegimeKind.Ordered, epoch: 2);
        cluster.Put(cluster.Leader, "a", "9").Acknowledgements.Should().Be(1, "the leader's own fsync is enough now");
        cluster.ChangeMode(CpAsync).Outcome.Should().Be(Outcome.Done, "it is so already");
        cluster.Leader.Status.Current.Epoch.Should().Be(new Epoch(2));
    }

    [Fact]
    public void Who_does_not_lead_changes_nothing()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp);
        ReplicaMachine follower = cluster[cluster.Leader.Node.Value == 1 ? 2u : 1u];
        Completion refused = cluster.ChangeModeAt(follower, ApSync);
        (refused.Outcome, refused.Code, refused.LeaderHint).Should().Be((Outcome.NotDone, RefusalCode.NotLeader, cluster.Leader.Node));
    }

    [Fact]
    public void From_cp_to_ap_every_replica_takes_writes_and_has_what_the_log_had_written()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp);
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        AllAre(cluster, RegimeKind.Open, epoch: 2);
        for (uint node = 1; node <= 3; node++)
        {
            ReplicaCluster.TextOf(cluster.Get(cluster[node], "a", ReadLevel.Eventual)).Should().Be("1");
            Completion put = cluster.Put(cluster[node], $"n{node}", "x");
            (put.Outcome, put.Regime, put.Epoch).Should().Be((Outcome.Done, Regime.Open, new Epoch(2)));
        }

        cluster.Cut(3);
        cluster.Put(cluster[3], "b", "alone").Degraded.Should().BeTrue();
        cluster.Put(cluster[1], "b", "together");
        cluster.Heal();
        cluster.TickUntil(() => cluster.Get(cluster[1], "b", ReadLevel.Eventual).Siblings?.Count == 2, "both values are there");
    }

    [Fact]
    public void Scenario_59_a_leader_that_was_cut_off_while_its_shard_became_ap_overwrites_nothing_and_reports_what_it_had_acknowledged()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp);
        cluster.ChangeMode(CpAsync).Outcome.Should().Be(Outcome.Done);
        ReplicaMachine old = cluster.Leader;
        cluster.Lost.Add(nameof(RaftMessageKind.Append));
        cluster.Put(old, "a", "early").Acknowledgements.Should().Be(1);
        cluster.Cut(old.Node.Value);
        cluster.Lost.Clear();
        cluster.Tick(60);
        cluster.TickUntil(() => cluster.Leader != old, "the majority has another leader");
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster.Leader, "c", "open").Outcome.Should().Be(Outcome.Done);

        cluster.Heal();
        AllAre(cluster, RegimeKind.Open, epoch: 3);
        old.Replica.LostWrites.Count.Should().Be(1, "it is not hidden");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(old, "c", ReadLevel.Eventual)) == "open", "it has what came since");
        for (uint node = 1; node <= 3; node++)
        {
            ReplicaCluster.TextOf(cluster.Get(cluster[node], "a", ReadLevel.Eventual)).Should().Be("1");
        }
    }

    [Fact]
    public void Scenario_60_from_ap_to_cp_siblings_stay_until_somebody_decides_and_all_replicas_hold_the_same()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Ap);
        cluster.Cut(3);
        cluster.Put(cluster[3], "b", "alone");
        cluster.Put(cluster[1], "b", "together");
        cluster.Heal();
        cluster.TickUntilLed();
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        AllAre(cluster, RegimeKind.Ordered, epoch: 3);

        ReplicaMachine leader = cluster.Leader;
        Completion read = cluster.Get(leader, "b");
        read.Siblings.Should().HaveCount(2);
        read.Regime.Should().Be(Regime.Ordered);
        Completion decided = cluster.PutIf(leader, "b", "decided", read.Version);
        decided.Outcome.Should().Be(Outcome.Done);
        cluster.PutIf(leader, "b", "late", read.Version).Code.Should().Be(RefusalCode.ConditionFailed);
        cluster.Get(leader, "b").Siblings.Should().BeNull();
        cluster.Put(leader, "c", "3").Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster[3].Status.Applied == leader.Status.Applied, "all have applied it");
        ReplicaCluster.TextOf(cluster.Get(cluster[3], "b", ReadLevel.Eventual)).Should().Be("decided");
    }

    [Fact]
    public void Restarts_at_any_moment_go_on_in_the_regime_that_was_reached()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp);
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[2], "b", "open").Outcome.Should().Be(Outcome.Done);
        RestartAll(cluster);
        AllAre(cluster, RegimeKind.Open, epoch: 2);
        ReplicaCluster.TextOf(cluster.Get(cluster[2], "b", ReadLevel.Eventual)).Should().Be("open");

        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        RestartAll(cluster);
        AllAre(cluster, RegimeKind.Ordered, epoch: 4);
        ReplicaCluster.TextOf(cluster.Get(cluster.Leader, "b")).Should().Be("open");
        cluster.Put(cluster.Leader, "b", "ordered").Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void Scenario_61_a_leader_that_dies_between_close_and_order_leaves_the_rest_to_the_next()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Ap);
        cluster.Lost.Add(nameof(DottedMessageKind.BaselineHeld));
        cluster.AskMode(cluster.Leader, CpSync);
        cluster.TickUntil(() => cluster.Leader.Status.Current.Kind == RegimeKind.Closing, "it is closing");
        cluster.Tick(40);
        Completion refused = cluster.Put(cluster.Leader, "a", "too late");
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.Switching));

        ReplicaMachine dead = cluster.Leader;
        dead.LosePower();
        cluster.Lost.Clear();
        cluster.TickUntilLed();
        cluster.TickUntil(() => cluster.Leader.Status.Current.Kind == RegimeKind.Ordered, "the next leader finishes it");
        cluster.Put(cluster.Leader, "a", "new").Outcome.Should().Be(Outcome.Done);
        dead.Start();
        cluster.TickUntil(() => dead.Status is { Switch.IsLate: false, Current.Kind: RegimeKind.Ordered }, "the old one follows");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(dead, "a", ReadLevel.Eventual)) == "new", "and has what came since");
    }

    [Fact]
    public void A_closing_can_be_called_off()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Ap);
        cluster.Lost.Add(nameof(DottedMessageKind.BaselineHeld));
        ulong first = cluster.AskMode(cluster.Leader, CpSync);
        cluster.TickUntil(() => cluster.Leader.Status.Current.Kind == RegimeKind.Closing, "it is closing");
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        AllAre(cluster, RegimeKind.Open, epoch: 3);
        cluster.Put(cluster[2], "a", "open again").Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster.Answers.ContainsKey(first), "the first caller is answered too");
        cluster.Answers[first].Outcome.Should().Be(Outcome.Unknown);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Who_asks_for_what_is_in_force_is_not_answered_while_the_log_may_hold_another_change(bool leaderDies)
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp);
        cluster.Lost.Add(nameof(RaftMessageKind.AppendResponse));
        ulong first = cluster.AskMode(cluster.Leader, ApSync);
        cluster.Settle();
        if (leaderDies)
        {
            cluster.Leader.LosePower();
            cluster.TickUntilLed();
        }

        cluster.Leader.Status.Current.Epoch.Should().Be(new Epoch(1), "the opening is in the log and not committed");
        cluster.Leader.Status.Switch.IsUnderWay.Should().BeTrue();
        cluster.Leader.Replica.StaysIn(CpSync).Should().BeFalse();
        ulong second = cluster.AskMode(cluster.Leader, CpSync);
        cluster.Tick(2);
        cluster.Answers.Should().NotContainKey(second, "nobody can know yet whether it stays so");

        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster.Answers.ContainsKey(second), "the second caller is answered");
        cluster.Answers[second].Outcome.Should().Be(Outcome.Done);
        cluster.Leader.Status.Current.Should().Match<ShardRegime>(regime => regime.Mode == CpSync && regime.Epoch == new Epoch(4), "the opening came, and was undone");
        cluster.Leader.Status.Switch.IsUnderWay.Should().BeFalse();
        if (!leaderDies)
        {
            cluster.Answers[first].Outcome.Should().Be(Outcome.Unknown, "the newest wish counts");
        }
    }

    [Fact]
    public void Who_asks_for_what_is_in_force_calls_off_what_somebody_else_waits_for()
    {
        var cluster = new ReplicaCluster(5, PartitionChoice.Ap);
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Ask(leader, ReplicaCluster.Places(1, 2, 3), []);
        while (!leader.Status.IsJoint)
        {
            cluster.Step();
        }

        // Nothing closes while the members change, and this change gets stuck half done.
        cluster.Lost.Add(nameof(RaftMessageKind.AppendResponse));
        ulong first = cluster.AskMode(leader, CpSync);
        cluster.Tick(2);
        leader.Status.Switch.IsUnderWay.Should().BeTrue("somebody waits for another mode");
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Answers[first].Outcome.Should().Be(Outcome.Unknown);
        leader.Status.Switch.IsUnderWay.Should().BeFalse();

        cluster.Lost.Clear();
        cluster.TickUntil(() => !leader.Status.IsJoint, "the change of the members ends");
        cluster.Tick(20);
        leader.Status.Current.Should().Match<ShardRegime>(regime => regime.Mode == ApSync && regime.Epoch == new Epoch(1), "nobody wants anything else any more");
    }

    [Fact]
    public void C6_a_request_of_the_log_that_is_sent_again_in_the_open_is_answered_as_it_was_and_one_that_is_not_remembered_is_never_executed()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp);
        ClientOperation first = Write("a", "once", new RequestId(77, 1, 0), epoch: 1);
        Completion done = cluster.Submit(cluster.Leader, first);
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[2], "a", "newer");
        foreach (uint node in new uint[] { 1, 2, 3 })
        {
            Completion again = cluster.Submit(cluster[node], first);
            (again.Outcome, again.OrderedVersion).Should().Be((Outcome.Done, done.OrderedVersion));
        }

        Completion forgotten = cluster.Submit(cluster[2], Write("a", "from long ago", new RequestId(77, 2, 0), epoch: 1));
        (forgotten.Outcome, forgotten.Code).Should().Be((Outcome.NotDone, RefusalCode.StaleEpoch));
        ReplicaCluster.TextOf(cluster.Get(cluster[2], "a", ReadLevel.Eventual)).Should().Be("newer");

        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        Completion still = cluster.Submit(cluster.Leader, first);
        (still.Outcome, still.OrderedVersion).Should().Be((Outcome.Done, done.OrderedVersion));
        cluster.Submit(cluster.Leader, Write("a", "from long ago", new RequestId(77, 2, 0), epoch: 2)).Code.Should().Be(RefusalCode.StaleEpoch);
        ReplicaCluster.TextOf(cluster.Get(cluster.Leader, "a")).Should().Be("newer");
    }

    [Fact]
    public void A_replica_that_missed_the_opening_and_the_log_before_it_copies_what_it_lacks()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Cp, new ReplicaOptions { KeepEntries = 1, CompactStep = 1 });
        cluster.Cut(3);
        cluster.Tick(60);
        cluster.TickUntilLed();
        for (int i = 0; i < 20; i++)
        {
            cluster.Put(cluster.Leader, $"k{i}", "ordered").Outcome.Should().Be(Outcome.Done);
        }

        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[1], "open", "yes");
        cluster.Tick(60);
        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status.Current.Kind == RegimeKind.Open, "it hears of the opening");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(cluster[3], "open", ReadLevel.Eventual)) == "yes", "it has what came after");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(cluster[3], "k19", ReadLevel.Eventual)) == "ordered", "and what came before");
        cluster.TickUntil(() => !cluster.Get(cluster[3], "k1", ReadLevel.Eventual).Degraded, "it is whole");
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster[3].Status is { Current.Kind: RegimeKind.Ordered, Switch.IsLate: false }, "it goes along");
    }

    [Fact]
    public void What_a_cut_off_replica_had_acknowledged_is_merged_when_it_comes_back_into_the_ordered_shard()
    {
        ReplicaCluster cluster = CutOffThroughASwitch();
        cluster.Put(cluster.Leader, "b", "ordered").Outcome.Should().Be(Outcome.Done);
        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status is { Current.Kind: RegimeKind.Ordered, Switch.IsLate: false, OverlayKeys: 0 }, "its writes are handed in");
        cluster.TickUntilLed();
        ReplicaCluster.TextOf(cluster.Get(cluster.Leader, "mine")).Should().Be("x");
        cluster.Get(cluster.Leader, "b").Siblings.Should().HaveCount(2, "neither had seen the other");
        ReplicaCluster.TextOf(cluster.Get(cluster.Leader, "a")).Should().Be("1");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(cluster[3], "mine", ReadLevel.Eventual)) == "x", "it has it back from the log");
    }

    [Theory]
    [InlineData(OperationKind.Put, false)]
    [InlineData(OperationKind.Put, true)]
    [InlineData(OperationKind.Delete, false)]
    [InlineData(OperationKind.Delete, true)]
    public void What_a_client_had_superseded_elsewhere_is_not_brought_back_by_the_late_replica_however_often_it_was_overwritten_since(OperationKind last, bool restarts)
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Ap);
        cluster.Cut(3);
        cluster.Put(cluster[3], "k", "superseded").Degraded.Should().BeTrue();
        ReadOnlyMemory<byte> seen = cluster.Get(cluster[3], "k", ReadLevel.Eventual).Version;
        cluster.Submit(cluster[1], new ClientOperation { Kind = OperationKind.Put, Key = "k"u8.ToArray(), Condition = WriteCondition.InContext, Value = "by who had read it"u8.ToArray(), Version = seen }).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        cluster.TickUntil(() => cluster[1].Replica.IsLeader || cluster[2].Replica.IsLeader, "the majority has a leader");
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        if (restarts)
        {
            // Their views have it.
            cluster[1].LosePower();
            cluster[2].LosePower();
            cluster[1].Start();
            cluster[2].Start();
            cluster.TickUntil(() => cluster[1].Replica.IsActive && cluster[2].Replica.IsActive && (cluster[1].Replica.IsLeader || cluster[2].Replica.IsLeader), "they are back");
        }

        cluster.Put(cluster.Leader, "k", "ordered").Outcome.Should().Be(Outcome.Done);
        cluster.Submit(cluster.Leader, new ClientOperation { Kind = last, Key = "k"u8.ToArray(), Value = last == OperationKind.Put ? "last"u8.ToArray() : default }).Outcome.Should().Be(Outcome.Done);

        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status is { Current.Kind: RegimeKind.Ordered, Switch.IsLate: false, OverlayKeys: 0 }, "its writes are handed in");
        cluster.TickUntilLed();
        cluster.Get(cluster.Leader, "k").Siblings.Should().BeNull();
        ReplicaCluster.TextOf(cluster.Get(cluster.Leader, "k")).Should().Be(last == OperationKind.Put ? "last" : "(none)");
    }

    [Fact]
    public void Scenario_63_a_replica_that_was_away_through_two_switches_comes_back_into_the_open_shard_with_its_own_writes()
    {
        ReplicaCluster cluster = CutOffThroughASwitch();
        cluster.Put(cluster.Leader, "b", "ordered").Outcome.Should().Be(Outcome.Done);
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[1], "c", "open again");
        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status is { Current: { Kind: RegimeKind.Open, Epoch.Value: 4 }, Switch.IsLate: false, OverlayKeys: 0 }, "it hears of both");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(cluster[1], "mine", ReadLevel.Eventual)) == "x", "the others get what it had");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(cluster[3], "c", ReadLevel.Eventual)) == "open again", "it gets what they have");
        cluster.TickUntil(() => cluster.Get(cluster[1], "b", ReadLevel.Eventual).Siblings?.Count == 2, "concurrent values are there");
        cluster.TickUntil(() => cluster[3].Status.Clock == cluster[1].Status.Clock && cluster[2].Status.Clock == cluster[1].Status.Clock, "all are equal");

        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        AllAre(cluster, RegimeKind.Ordered, epoch: 6);
        cluster.Get(cluster.Leader, "b").Siblings.Should().HaveCount(2);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_replica_that_takes_the_place_of_one_whose_disk_was_lost_gets_past_the_switches_in_the_log(bool endsOpen)
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Ap);
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        if (endsOpen)
        {
            cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        }

        // It begins with nothing and reads in the log that the shard was ordered from a baseline that it does not hold, while the lost one is still a member on the same node.
        ReplicaPlace renewed = new(new NodeId(3), new ReplicaId(9));
        cluster[3].ComeBackEmpty(under: renewed.Replica);
        cluster.Tick(60);
        cluster.TickUntilLed();
        cluster.Change(ReplicaCluster.Places(1, 2, 3), [renewed]).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster.Change([.. ReplicaCluster.Places(1, 2), renewed], []).Outcome == Outcome.Done, "it has caught up and votes");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(cluster[3], "a", ReadLevel.Eventual)) == "1", "it has what there was");
        cluster[3].Members.Should().Be("r1 r2 r9");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Equal_clocks_over_unequal_data_are_found_out_and_the_odd_one_takes_a_snapshot_even_if_it_leads(uint odd)
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Ap);
        bool forgets = true;
        cluster.Over = (_, storage) => new ForgetfulStorage(storage, "rot"u8.ToArray(), () => forgets);
        cluster[odd].LosePower();
        cluster[odd].Start();
        cluster.TickUntilLed();
        cluster.TickUntil(() => cluster[odd].Replica.IsActive, "it is back");
        cluster.Put(cluster[2], "rot", "there").Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster[odd].Status.Clock == cluster[2].Status.Clock, "the clocks are equal");
        cluster.Tick(60);
        cluster[odd].Flush();
        cluster.Tick(10);
        cluster[odd].LosePower();
        forgets = false;
        cluster[odd].Start();
        cluster.TickUntil(() => cluster[odd].Replica.IsActive && cluster[odd].Replica.CaptureDigests() is not null && cluster[odd].Status.Clock == cluster[2].Status.Clock, "it is back again");
        cluster.TickUntilLed();
        if (!cluster[1].Replica.IsLeader)
        {
            cluster.Leader.Replica.TransferLeadership(new NodeId(1));
            cluster.TickUntil(() => cluster[1].Replica.IsLeader, "the first one leads");
        }

        ReplicaCluster.TextOf(cluster.Get(cluster[odd], "rot", ReadLevel.Eventual)).Should().Be("(none)", "its disk has lost it");
        cluster.AskMode(cluster[1], CpSync);
        AllAre(cluster, RegimeKind.Ordered, epoch: 3);
        for (uint node = 1; node <= 3; node++)
        {
            ReplicaCluster.TextOf(cluster.Get(cluster[node], "rot", ReadLevel.Eventual)).Should().Be("there");
        }
    }

    [Fact]
    public void A_late_replica_that_loses_its_power_again_and_again_still_brings_everything()
    {
        ReplicaCluster cluster = CutOffThroughASwitch();
        cluster.Lost.Add("Page");
        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status.Switch.IsLate, "it can't follow");
        cluster[3].LosePower();
        cluster[3].Start();
        cluster.TickUntil(() => cluster[3].Replica.IsActive && cluster[3].Status.Switch.IsLate, "it still can't");
        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster[3].Status is { Current.Kind: RegimeKind.Ordered, Switch.IsLate: false }, "a snapshot has come");
        cluster[3].LosePower();
        cluster[3].Start();
        cluster.TickUntil(() => cluster[3].Replica.IsActive && cluster[3].Status is { OverlayKeys: 0 } && ReplicaCluster.TextOf(cluster.Get(cluster[3], "mine", ReadLevel.Eventual)) == "x", "all of it is merged");
    }

    /// <summary>Three replicas, ap. The third writes "mine" and "b" alone while the other two become cp.</summary>
    private static ReplicaCluster CutOffThroughASwitch()
    {
        ReplicaCluster cluster = Filled(PartitionChoice.Ap);
        cluster.Cut(3);
        cluster.Put(cluster[3], "mine", "x").Degraded.Should().BeTrue();
        cluster.Put(cluster[3], "b", "alone").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        cluster.TickUntil(() => cluster[1].Replica.IsLeader || cluster[2].Replica.IsLeader, "the majority has a leader");
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        cluster.Leader.Status.Switch.Unbound.Should().Equal([new NodeId(3)]);
        return cluster;
    }

    private static ReplicaCluster Filled(PartitionChoice partition, ReplicaOptions? options = null)
    {
        var cluster = new ReplicaCluster(3, partition, options);
        cluster.Elect(1);
        cluster.Put(cluster[1], "a", "1").Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[1], "b", "2").Outcome.Should().Be(Outcome.Done);
        return cluster;
    }

    private static void AllAre(ReplicaCluster cluster, RegimeKind kind, ulong epoch) =>
        cluster.TickUntil(
            () => Enumerable.Range(1, 3).All(node => cluster[(uint)node].Status is { Switch: { IsOpening: false, IsLate: false } } status && status.Current.Kind == kind && status.Current.Epoch.Value == epoch),
            $"all are {kind} in epoch {epoch}");

    private static void RestartAll(ReplicaCluster cluster)
    {
        for (uint node = 1; node <= 3; node++)
        {
            cluster[node].LosePower();
        }

        for (uint node = 1; node <= 3; node++)
        {
            cluster[node].Start();
        }

        cluster.TickUntilLed();
        cluster.TickUntil(() => cluster.Leader.Status.Role == RaftRole.Leader, "somebody leads");
    }

    private static ClientOperation Write(string key, string value, RequestId request, ulong epoch) => new()
    {
        Kind = OperationKind.Put,
        Key = Encoding.UTF8.GetBytes(key),
        Value = Encoding.UTF8.GetBytes(value),
        Request = request,
        Epoch = new Epoch(epoch),
    };
}

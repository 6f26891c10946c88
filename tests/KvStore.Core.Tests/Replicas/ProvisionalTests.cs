using System.Text;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Adaptive shards: provisional service of a minority, its overlay, and the merge through the log. Scenarios 64 and 65.</summary>
public class ProvisionalTests
{
    private const uint A = 4, B = 5;

    private static readonly ReplicaOptions Short = new() { KeepEntries = 2, CompactStep = 1, SnapshotPageBytes = 1_000 };

    [Fact]
    public void A_minority_serves_provisionally_after_a_while_and_says_so()
    {
        ReplicaCluster cluster = SplitAfter(("k", "before"));

        Completion early = cluster.Put(cluster[A], "k", "early");
        early.Outcome.Should().Be(Outcome.NotDone, "two seconds have not passed");

        cluster.TickUntil(() => cluster[A].Status.Regime == Regime.Provisional && cluster[B].Status.Regime == Regime.Provisional, "provisional service");
        Completion read = cluster.Get(cluster[B], "k");
        (read.Regime, TextOf(read)).Should().Be((Regime.Provisional, "before"));

        Completion written = cluster.Put(cluster[A], "k", "outside");
        (written.Outcome, written.Regime, written.Acknowledgements).Should().Be((Outcome.Done, Regime.Provisional, 2), "both of the minority have it");
        TextOf(cluster.Get(cluster[B], "k")).Should().Be("outside", "the record was shared");
        cluster.Get(cluster[1], "k").Regime.Should().Be(Regime.Ordered);
    }

    [Fact]
    public void An_altered_provisional_after_is_kept_through_changes_of_the_mode_and_holds_for_who_has_heard_of_it()
    {
        ReplicaCluster cluster = new(5, PartitionChoice.Adaptive, new ReplicaOptions());
        cluster.Elect(1);
        cluster[A].Replica.SetProvisionalAfter(new ProvisionalAfter(6_000));
        cluster.ChangeMode(new KeyspaceMode(PartitionChoice.Cp, cluster.Mode.Replication)).Outcome.Should().Be(Outcome.Done);
        cluster.ChangeMode(cluster.Mode).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(5);
        cluster.Split(A, B);
        long cutMs = cluster.NowMs;

        cluster.TickUntil(() => cluster[B].Status.Regime == Regime.Provisional, "who has not heard serves as it was set before");
        cluster[A].Status.Regime.Should().Be(Regime.Ordered);
        cluster.TickUntil(() => cluster[A].Status.Regime == Regime.Provisional, "who has heard serves later");
        (cluster.NowMs - cutMs).Should().BeGreaterThanOrEqualTo(5_500);
    }

    [Fact]
    public void After_the_heal_untouched_keys_fast_forward_and_touched_ones_keep_both_values()
    {
        ReplicaCluster cluster = ProvisionalAfter(("quiet", "old"), ("busy", "old"), ("gone", "old"), ("kept", "old"));
        cluster.Put(cluster[A], "quiet", "minority");
        cluster.Put(cluster[A], "busy", "minority");
        cluster.Put(cluster[1], "busy", "majority");
        Delete(cluster, A, "gone");
        Delete(cluster, A, "kept");
        cluster.Put(cluster[1], "kept", "newer");
        cluster.Put(cluster[B], "fresh", "minority");

        HealAndMerge(cluster);

        foreach (uint node in new uint[] { 1, 2, 3, A, B })
        {
            Read(cluster, node, "quiet").Should().Be("minority", $"at n{node}");
            Read(cluster, node, "busy").Split('|').Should().BeEquivalentTo(["majority", "minority"], $"at n{node}");
            Read(cluster, node, "gone").Should().Be("(none)");
            Read(cluster, node, "kept").Should().Be("newer", "a write that the delete had not seen survives it");
            Read(cluster, node, "fresh").Should().Be("minority");
        }
    }

    [Fact]
    public void A_plain_put_supersedes_all_siblings_and_if_version_compares_exactly_them()
    {
        ReplicaCluster cluster = ProvisionalAfter(("k", "old"));
        cluster.Put(cluster[A], "k", "minority");
        Completion majority = cluster.Put(cluster[1], "k", "majority");
        HealAndMerge(cluster);

        Completion siblings = cluster.Get(cluster.Leader, "k");
        siblings.Siblings.Should().HaveCount(2);
        IfVersion(cluster, "k", "lost", majority.OrderedVersion).Code.Should().Be(RefusalCode.ConditionFailed, "the merge has changed the live values");
        Completion swapped = cluster.PutIf(cluster.Leader, "k", "decided", siblings.Version);
        swapped.Outcome.Should().Be(Outcome.Done);

        Completion after = cluster.Get(cluster.Leader, "k");
        (TextOf(after), after.Siblings).Should().Be(("decided", null));
    }

    [Fact]
    public void What_needs_one_order_of_all_writes_is_refused_while_provisional()
    {
        ReplicaCluster cluster = ProvisionalAfter(("k", "old"));
        ClientOperation put = new() { Kind = OperationKind.Put, Key = Bytes("k"), Value = Bytes("v") };
        ClientOperation get = new() { Kind = OperationKind.Get, Key = Bytes("k") };

        Completion[] refused =
        [
            cluster.Submit(cluster[A], put with { Condition = WriteCondition.IfAbsent }),
            cluster.Submit(cluster[A], put with { RequireStrong = true }),
            cluster.Submit(cluster[A], get with { RequireStrong = true }),
            cluster.Submit(cluster[A], get with { Level = ReadLevel.Linearizable }),
        ];

        refused.Should().OnlyContain(answer => answer.Outcome == Outcome.NotDone && answer.Code == RefusalCode.ProvisionalRefused && answer.Reason!.Contains("no contact to a leader"));
        TextOf(cluster.Get(cluster[A], "k")).Should().Be("old");
    }

    [Fact]
    public void A_provisional_write_that_is_retried_with_the_leader_has_one_effect()
    {
        ReplicaCluster cluster = ProvisionalAfter(("k", "old"));
        var request = new RequestId(77, 1, 0);
        cluster.Put(cluster[A], "k", "once", request).Regime.Should().Be(Regime.Provisional);
        cluster.Put(cluster[1], "k", "once", request).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[1], "k", "newer").Outcome.Should().Be(Outcome.Done);

        HealAndMerge(cluster);

        Read(cluster, 1, "k").Should().Be("newer", "the merge does not revive what the retry has already done");
    }

    [Fact]
    public void A_retry_after_the_merge_is_answered_from_memory()
    {
        ReplicaCluster cluster = ProvisionalAfter(("k", "old"));
        var request = new RequestId(77, 1, 0);
        cluster.Put(cluster[A], "k", "once", request);
        HealAndMerge(cluster);
        cluster.Put(cluster.Leader, "k", "newer");

        Completion retried = cluster.Put(cluster.Leader, "k", "once", request);

        retried.Outcome.Should().Be(Outcome.Done);
        Read(cluster, 1, "k").Should().Be("newer");
    }

    [Fact]
    public void A_retry_at_another_replica_of_the_minority_has_one_effect()
    {
        ReplicaCluster cluster = ProvisionalAfter(("k", "old"));
        var request = new RequestId(77, 1, 0);
        cluster.Lost.Add("OverlayShare");
        ulong first = cluster.SubmitOnly(cluster[A], new ClientOperation { Kind = OperationKind.Put, Key = Bytes("k"), Value = Bytes("once"), Request = request });
        cluster.Settle();
        cluster.SubmitOnly(cluster[B], new ClientOperation { Kind = OperationKind.Put, Key = Bytes("k"), Value = Bytes("once"), Request = request });
        cluster.Settle();
        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster.Answers.ContainsKey(first), "an answer");

        HealAndMerge(cluster);

        Read(cluster, 1, "k").Should().Be("once");
    }

    [Fact]
    public void The_overlay_survives_a_power_loss_and_a_snapshot_over_its_base()
    {
        ReplicaCluster cluster = ProvisionalAfter(Short, ("k", "old"));
        cluster.Put(cluster[A], "k", "minority");
        cluster.Put(cluster[A], "other", "minority");
        for (int i = 0; i < 50; i++)
        {
            cluster.Put(cluster[1], $"fill{i}", new string('x', 500));
        }

        cluster[A].LosePower();
        cluster[B].LosePower();
        cluster[A].Start();
        cluster.Settle();
        cluster[A].Status.OverlayKeys.Should().Be(2);
        cluster.Tick(30);

        cluster.Heal();
        cluster.TickUntil(() => cluster[A].Status.OverlayKeys == 0, "merged");
        cluster.Pages.Should().Contain(new NodeId(A), "it was too far behind for the log");
        Read(cluster, 1, "k").Should().Be("minority");
        Read(cluster, 1, "other").Should().Be("minority");
    }

    [Fact]
    public void What_a_message_lost_is_exchanged_by_the_next_round()
    {
        ReplicaCluster cluster = ProvisionalAfter(("k", "old"));
        cluster.Lost.Add("OverlayShare");
        cluster.SubmitOnly(cluster[A], new ClientOperation { Kind = OperationKind.Put, Key = Bytes("k"), Value = Bytes("v") });
        cluster.Tick(5);
        cluster[B].Status.OverlayKeys.Should().Be(0);
        cluster.Lost.Clear();
        cluster.Lost.Add("OverlayShared");

        cluster.TickUntil(() => cluster[B].Status.OverlayKeys == 1, "the record is there");
    }

    [Fact]
    public void A_full_overlay_refuses_and_says_what_to_do()
    {
        ReplicaCluster cluster = ProvisionalAfter(new ReplicaOptions { OverlayBytes = 2_000 }, ("k", "old"));
        Completion answer = default;
        for (int i = 0; i < 10 && answer.Code == RefusalCode.None; i++)
        {
            answer = cluster.Put(cluster[A], $"k{i}", new string('x', 300));
        }

        (answer.Outcome, answer.Code).Should().Be((Outcome.NotDone, RefusalCode.OverlayFull));
        cluster[A].Status.OverlayBytes.Should().BeLessThanOrEqualTo(2_000);
        HealAndMerge(cluster);
        cluster.Put(cluster.Leader, "k", "again").Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void A_scan_shows_the_overlay_on_top_of_the_base()
    {
        ReplicaCluster cluster = ProvisionalAfter(("a", "1"), ("c", "1"), ("e", "1"));
        cluster.Put(cluster[A], "b", "2");
        cluster.Put(cluster[A], "c", "2");
        Delete(cluster, A, "e");
        cluster.Put(cluster[A], "f", "2");

        Completion page = cluster.Submit(cluster[A], new ClientOperation { Kind = OperationKind.Scan, Limit = 100 });

        page.Regime.Should().Be(Regime.Provisional);
        page.Items!.Select(item => $"{Encoding.UTF8.GetString(item.Key.Span)}={Encoding.UTF8.GetString(item.Value.Span)}").Should().Equal("a=1", "b=2", "c=2", "f=2");
    }

    [Fact]
    public void Two_episodes_of_one_replica_are_both_merged()
    {
        ReplicaCluster cluster = ProvisionalAfter(("k", "old"));
        cluster.Put(cluster[A], "first", "1");
        HealAndMerge(cluster);
        cluster.Split(A, B);
        cluster.TickUntil(() => cluster[A].Status.Regime == Regime.Provisional, "provisional service again");
        cluster.Put(cluster[A], "second", "2");
        cluster.Put(cluster[A], "first", "3");
        HealAndMerge(cluster);

        Read(cluster, 2, "first").Should().Be("3");
        Read(cluster, 2, "second").Should().Be("2");
    }

    private static ReplicaCluster SplitAfter(params (string Key, string Value)[] before) => SplitAfter(new ReplicaOptions(), before);

    private static ReplicaCluster SplitAfter(ReplicaOptions options, params (string Key, string Value)[] before)
    {
        var cluster = new ReplicaCluster(5, PartitionChoice.Adaptive, options);
        ReplicaMachine leader = cluster.Elect(1);
        foreach ((string key, string value) in before)
        {
            cluster.Put(leader, key, value).Outcome.Should().Be(Outcome.Done);
        }

        cluster.Tick(5);
        cluster.Split(A, B);
        return cluster;
    }

    private static ReplicaCluster ProvisionalAfter(params (string Key, string Value)[] before) => ProvisionalAfter(new ReplicaOptions(), before);

    private static ReplicaCluster ProvisionalAfter(ReplicaOptions options, params (string Key, string Value)[] before)
    {
        ReplicaCluster cluster = SplitAfter(options, before);
        cluster.TickUntil(() => cluster[A].Status.Regime == Regime.Provisional && cluster[B].Status.Regime == Regime.Provisional, "provisional service");
        return cluster;
    }

    private static void HealAndMerge(ReplicaCluster cluster)
    {
        cluster.Heal();
        cluster.TickUntil(
            () => cluster[A].Status is { OverlayKeys: 0, Regime: Regime.Ordered } && cluster[B].Status is { OverlayKeys: 0, Regime: Regime.Ordered },
            "the minority follows a leader again and its overlays are merged");
        cluster.Tick(5);
    }

    private static void Delete(ReplicaCluster cluster, uint at, string key) =>
        cluster.Submit(cluster[at], new ClientOperation { Kind = OperationKind.Delete, Key = Bytes(key) }).Outcome.Should().Be(Outcome.Done);

    private static Completion IfVersion(ReplicaCluster cluster, string key, string value, LogIndex version) => cluster.Submit(cluster.Leader, new ClientOperation
    {
        Kind = OperationKind.Put,
        Key = Bytes(key),
        Value = Bytes(value),
        Condition = WriteCondition.IfVersion,
        Version = KvStateMachine.EncodeVersion(version),
    });

    private static string Read(ReplicaCluster cluster, uint at, string key)
    {
        Completion answer = cluster.Get(cluster[at], key, ReadLevel.Eventual);
        answer.Regime.Should().Be(Regime.Ordered);
        return answer.Siblings is { } siblings ? string.Join('|', siblings.Select(sibling => Encoding.UTF8.GetString(sibling.Value.Span))) : TextOf(answer);
    }

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);
}

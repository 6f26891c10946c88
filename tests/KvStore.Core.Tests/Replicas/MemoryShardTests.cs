using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Whole replicas whose data lives in memory only.</summary>
public class MemoryShardTests
{
    private const long Roomy = 1 << 20;

    [Fact]
    public void A_restarted_replica_has_nothing_of_its_own_and_gets_everything_from_a_peer()
    {
        ReplicaCluster cluster = Filled(Roomy);
        cluster[3].LosePower();
        cluster.Cut(3);
        cluster[3].Start();
        cluster.Settle();
        Completion alone = cluster.Get(cluster[3], "k1", ReadLevel.Eventual);
        (alone.Found, alone.Degraded).Should().Be((false, true), "nothing was on its disk, and it says that something may be missing");
        cluster[3].Replica.AwaitsCopy.Should().BeTrue();
        cluster[3].Status.Open!.IsRecovering.Should().BeTrue();

        cluster.Heal();
        cluster.TickUntil(() => !cluster[3].Replica.AwaitsCopy, "it has copied");
        cluster[3].Status.Open!.IsRecovering.Should().BeFalse();
        TextOf(cluster.Get(cluster[3], "k1", ReadLevel.Eventual)).Should().Be("1");
        TextOf(cluster.Get(cluster[3], "k9", ReadLevel.Eventual)).Should().Be("9");
        cluster[3].Status.MemoryLosses.Should().Be(0);
    }

    [Fact]
    public void Values_expire_in_memory_and_counters_are_refused()
    {
        var cluster = Filled(Roomy);
        cluster.Submit(cluster[1], new ClientOperation { Kind = OperationKind.Put, Key = "short"u8.ToArray(), Value = "v"u8.ToArray(), TtlMs = 1_000 }).Outcome.Should().Be(Outcome.Done);
        cluster.Wait(200);
        TextOf(cluster.Get(cluster[3], "short", ReadLevel.Eventual)).Should().Be("v");
        cluster.Wait(5_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster.Get(cluster[node], "short", ReadLevel.Eventual).Found.Should().BeFalse();
            TextOf(cluster.Get(cluster[node], "k1", ReadLevel.Eventual)).Should().Be("1");
        }

        Completion counted = cluster.Increment(cluster[1], "c", 5);
        (counted.Outcome, counted.Code).Should().Be((Outcome.NotDone, RefusalCode.InvalidArgument));
    }

    [Fact]
    public void C21_replicas_that_restart_faster_than_they_copy_declare_the_loss_once_and_for_the_record()
    {
        ReplicaCluster cluster = Filled(Roomy);
        RestartAll(cluster);
        cluster.TickUntil(() => cluster[1].Replica.Memory.Losses == 1, "the first in order declares it");
        cluster.TickUntil(() => !Any(cluster, status => status.Open!.IsRecovering), "the others copy what there is");
        Completion gone = cluster.Get(cluster[2], "k1", ReadLevel.Eventual);
        gone.Found.Should().BeFalse();
        cluster.Put(cluster[2], "new", "v").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(40);
        TextOf(cluster.Get(cluster[3], "new", ReadLevel.Eventual)).Should().Be("v");
        cluster[1].Status.MemoryLosses.Should().Be(1);
        cluster[1].Status.LastMemoryLossMs.Should().BeGreaterThan(0);

        cluster.Tick(40);
        cluster[1].LosePower();
        cluster[1].Start();
        cluster.TickUntil(() => !cluster[1].Replica.AwaitsCopy, "it copies from the others");
        cluster[1].Status.Open!.IsRecovering.Should().BeFalse();
        (cluster[1].Status.MemoryLosses, cluster[1].Replica.Memory.Losses).Should().Be((1, 0), "the record is durable, and nothing was lost this time");
    }

    [Fact]
    public void C21_while_a_peer_that_may_have_it_all_is_cut_off_nobody_declares_a_loss()
    {
        ReplicaCluster cluster = Filled(Roomy);
        cluster.Cut(3);
        foreach (uint node in (uint[])[1, 2])
        {
            cluster[node].LosePower();
            cluster[node].Start();
        }

        cluster.Cut(3);
        cluster.Tick(400);
        (cluster[1].Status.Open!.IsRecovering, cluster[1].Status.MemoryLosses).Should().Be((true, 0));
        cluster[1].Replica.AwaitsCopy.Should().BeFalse("whoever asks for readiness is not kept waiting for a source that can't be reached");
        Completion put = cluster.Put(cluster[1], "k1", "newer");
        put.Outcome.Should().Be(Outcome.Done);
        cluster.Heal();
        cluster.TickUntil(() => !Any(cluster, status => status.Open!.IsRecovering), "the source is back");
        cluster.Tick(60);
        TextOf(cluster.Get(cluster[2], "k2", ReadLevel.Eventual)).Should().Be("2");
        cluster.Get(cluster[3], "k1", ReadLevel.Eventual).Found.Should().BeTrue();
    }

    [Fact]
    public void Writes_are_acknowledged_from_memory_without_waiting_for_any_disk()
    {
        ReplicaCluster cluster = Filled(Roomy);
        ulong handle = cluster.SubmitOnly(cluster[1], new ClientOperation { Kind = OperationKind.Put, Key = "x"u8.ToArray(), Value = "v"u8.ToArray() });
        cluster.Settle();
        Completion put = cluster.Answers[handle];
        (put.Outcome, put.Degraded).Should().Be((Outcome.Done, false));
        put.Acknowledgements.Should().BeGreaterThanOrEqualTo(2, "in the memory of a majority");
        cluster[1].Status.MemoryBytes.Should().BePositive();
    }

    [Fact]
    public void The_bound_holds_and_what_is_evicted_is_a_miss_and_no_delete()
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap, memoryBytes: 40_000);
        cluster.Elect(1);
        cluster.Tick(60);
        for (int i = 0; i < 200; i++)
        {
            cluster.Put(cluster[1], $"key-{i:000}", new string('x', 500)).Outcome.Should().Be(Outcome.Done);
        }

        cluster.Tick(60);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].Status.MemoryBytes.Should().BeLessThanOrEqualTo(40_000);
            cluster[node].Status.Evictions.Should().BeGreaterThan(100);
        }

        cluster.Get(cluster[1], "key-199", ReadLevel.Eventual).Found.Should().BeTrue("the newest stays");
        Completion missed = cluster.Get(cluster[1], "key-000", ReadLevel.Quorum);
        (missed.Outcome, missed.Found, missed.Degraded).Should().Be((Outcome.Done, false, true), "nobody can say whether it ever was");
    }

    [Fact]
    public void A_quorum_read_finds_what_only_one_replica_still_has()
    {
        ReplicaCluster cluster = Filled(Roomy);
        cluster.Lost.Add(nameof(DottedMessageKind.FullCopyPage));
        cluster[2].LosePower();
        cluster[2].Start();
        cluster[3].LosePower();
        cluster[3].Start();
        cluster.Settle();
        Completion read = cluster.Get(cluster[2], "k3", ReadLevel.Quorum);
        (TextOf(read), read.Degraded).Should().Be(("3", true));
    }

    [Fact]
    public void Values_that_would_fill_the_shard_are_refused_in_context_and_one_in_the_place_of_all_is_taken()
    {
        ReplicaCluster cluster = new(1, PartitionChoice.Ap, memoryBytes: 10_000);
        cluster.Elect(1);
        for (int i = 0; i < 4; i++)
        {
            Beside(cluster).Outcome.Should().Be(Outcome.Done);
        }

        Completion refused = Beside(cluster);
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.MemoryFull));
        cluster.Put(cluster[1], "k", new string('x', 1_100)).Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void The_only_replica_loses_everything_with_its_process_and_says_so()
    {
        ReplicaCluster cluster = new(1, PartitionChoice.Ap, memoryBytes: Roomy);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "v");
        cluster.Tick(60);
        cluster[1].LosePower();
        cluster[1].Start();
        cluster.TickUntil(() => cluster[1].Status.MemoryLosses == 1, "the loss is declared");
        Completion read = cluster.Get(cluster[1], "k");
        (read.Found, read.Degraded).Should().Be((false, false));
    }

    private static Completion Beside(ReplicaCluster cluster) => cluster.Submit(
        cluster[1], new ClientOperation { Kind = OperationKind.Put, Condition = WriteCondition.InContext, Key = "k"u8.ToArray(), Value = new byte[1_100] });

    private static bool Any(ReplicaCluster cluster, Func<ReplicaStatus, bool> holds) => ((uint[])[1, 2, 3]).Any(node => holds(cluster[node].Status));

    private static void RestartAll(ReplicaCluster cluster)
    {
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].LosePower();
        }

        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].Start();
        }

        cluster.Settle();
    }

    private static ReplicaCluster Filled(long memoryBytes)
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap, memoryBytes: memoryBytes);
        cluster.Elect(1);
        for (int i = 0; i < 10; i++)
        {
            cluster.Put(cluster[1], $"k{i}", $"{i}").Outcome.Should().Be(Outcome.Done);
        }

        cluster.Tick(60);
        return cluster;
    }
}

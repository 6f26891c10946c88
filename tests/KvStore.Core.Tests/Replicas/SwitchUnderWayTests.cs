using System.Text;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>The mode of a shard changes while something of the mode before is still under way at a replica.</summary>
public class SwitchUnderWayTests
{
    private static readonly KeyspaceMode CpSync = new(PartitionChoice.Cp, Replication.Sync);
    private static readonly KeyspaceMode ApSync = new(PartitionChoice.Ap, Replication.Sync);

    [Fact]
    public void A_pull_that_waits_for_the_disk_when_the_log_takes_over_is_not_answered()
    {
        ReplicaCluster cluster = OpenShard(stallsAt: 3, out StallingStorage disk);
        cluster.Cut(3);
        cluster.Put(cluster[3], "slow", "x").Outcome.Should().Be(Outcome.Done);
        disk.Stalls = true;
        cluster.Heal();
        cluster.TickUntil(() => disk.Waiting > 0, "a pull waits for the disk");

        // Whoever asks again is answered at once.
        disk.Stalls = false;
        Order(cluster);
        disk.Release();
        cluster.Tick(4);
        cluster[3].Replica.FencedBecause.Should().BeNull();
        ReplicaCluster.TextOf(cluster.Get(cluster[3], "slow", ReadLevel.Eventual)).Should().Be("x");
    }

    [Fact]
    public void A_key_that_is_looked_at_because_its_time_is_over_is_left_alone_when_the_log_has_taken_over_meanwhile()
    {
        ReplicaCluster cluster = OpenShard(stallsAt: 3, out StallingStorage disk);
        cluster.Put(cluster[3], "slow", "x", ttlMs: 500).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(4);
        disk.Stalls = true;
        cluster.TickUntil(() => disk.Waiting > 0, "the record is looked at");
        Order(cluster);
        ulong dotted = cluster[3].Replica.Position.Dotted;
        disk.Release();
        cluster.Tick(4);
        cluster[3].Replica.Position.Dotted.Should().Be(dotted, "only the log writes");
        cluster.TickUntil(() => !cluster.Get(cluster.Leader, "slow").Found, "the log takes the key away");
    }

    [Fact]
    public void A_read_that_waits_for_the_disk_when_the_log_takes_over_is_refused_and_not_forgotten()
    {
        ReplicaCluster cluster = OpenShard(stallsAt: 3, out StallingStorage disk);
        cluster.Put(cluster[3], "slow", "x").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(4);
        disk.Stalls = true;
        ulong read = cluster.SubmitOnly(cluster[3], new ClientOperation { Kind = OperationKind.Get, Level = ReadLevel.Quorum, Key = Encoding.UTF8.GetBytes("slow") });
        disk.Waiting.Should().Be(1);
        Order(cluster);
        disk.Release();
        cluster.Tick(4);
        cluster.Answers.Should().ContainKey(read);
        (cluster.Answers[read].Outcome, cluster.Answers[read].Code).Should().Be((Outcome.NotDone, RefusalCode.Switching));
    }

    [Fact]
    public void Who_skips_into_a_later_open_period_serves_nothing_before_it_knows_that_it_lacks_something()
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap, new ReplicaOptions { KeepEntries = 1, CompactStep = 1 });
        cluster.Elect(1);
        cluster.Cut(3);
        cluster.Put(cluster[3], "mine", "x").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        for (int i = 0; i < 20; i++)
        {
            cluster.Put(cluster.Leader, $"k{i}", "ordered").Outcome.Should().Be(Outcome.Done);
        }

        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        cluster.Heal();
        while (cluster[3].Status.Current.Epoch != new Epoch(4))
        {
            if (!cluster.Step())
            {
                cluster.TickWithoutRest();
            }
        }

        cluster[3].Status.Switch.IsOpening.Should().BeTrue("it is not durable yet");
        ulong read = cluster.SubmitOnly(cluster[3], new ClientOperation { Kind = OperationKind.Get, Level = ReadLevel.Eventual, Key = Encoding.UTF8.GetBytes("k1") });
        (cluster.Answers[read].Outcome, cluster.Answers[read].Code).Should().Be((Outcome.NotDone, RefusalCode.Switching));
        ulong write = cluster.SubmitOnly(cluster[3], new ClientOperation { Kind = OperationKind.Put, Key = Encoding.UTF8.GetBytes("k2"), Value = Encoding.UTF8.GetBytes("y") });
        (cluster.Answers[write].Outcome, cluster.Answers[write].Code).Should().Be((Outcome.NotDone, RefusalCode.Switching));

        cluster.TickUntil(() => cluster[3].Status is { Switch.IsOpening: false, Open.IsRecovering: false }, "it has copied what it lacked");
        ReplicaCluster.TextOf(cluster.Get(cluster[3], "k1", ReadLevel.Eventual)).Should().Be("ordered");
        ReplicaCluster.TextOf(cluster.Get(cluster[3], "mine", ReadLevel.Eventual)).Should().Be("x");
    }

    [Fact]
    public void What_was_on_its_way_from_the_overlay_into_the_open_data_leaves_the_overlay_when_the_log_takes_over()
    {
        ReplicaCluster cluster = OpenShard(stallsAt: 3, out StallingStorage disk);
        cluster.Cut(3);
        cluster.Put(cluster[3], "a", "mine").Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[3], "slow", "mine").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        cluster.Lost.Add(nameof(DottedMessageKind.HandIn));
        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status is { Current.Kind: RegimeKind.Ordered, Switch.IsLate: false, OverlayKeys: 2 }, "it came too late, and its writes wait");
        if (cluster[3].Replica.IsLeader)
        {
            cluster.HandOver(1);
        }

        disk.Stalls = true;
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => disk.Waiting > 0, "one of them is in the open data, the other waits for the disk");
        Order(cluster);
        cluster[3].Status.OverlayKeys.Should().Be(1, "the baseline has the first");

        disk.Release();
        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster[3].Status.OverlayKeys == 0, "the other is merged through the log");
        ReplicaCluster.TextOf(cluster.Get(cluster.Leader, "a")).Should().Be("mine");
        ReplicaCluster.TextOf(cluster.Get(cluster.Leader, "slow")).Should().Be("mine");
    }

    [Fact]
    public void C6_a_conditional_write_that_is_sent_again_is_known_to_a_replica_that_never_heard_of_what_its_version_names()
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap, new ReplicaOptions { KeepEntries = 1, CompactStep = 1 });
        cluster.Elect(1);
        cluster.Cut(3);
        cluster.Put(cluster[1], "a", "open").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        ReadOnlyMemory<byte> seen = cluster.Get(cluster.Leader, "a").Version;
        var request = new ClientOperation
        {
            Kind = OperationKind.Put,
            Condition = WriteCondition.IfVersion,
            Version = seen,
            Key = Encoding.UTF8.GetBytes("a"),
            Value = Encoding.UTF8.GetBytes("ordered"),
            Request = new RequestId(77, 1, 0),
            Epoch = new Epoch(3),
        };
        Completion first = cluster.Submit(cluster.Leader, request);
        first.Outcome.Should().Be(Outcome.Done);
        for (int i = 0; i < 20; i++)
        {
            cluster.Put(cluster.Leader, $"k{i}", "ordered").Outcome.Should().Be(Outcome.Done);
        }

        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status is { Current.Epoch.Value: 4, Switch.IsOpening: false, Open.IsRecovering: false }, "it has skipped the ordered time");
        Completion again = cluster.Submit(cluster[3], request);
        (again.Outcome, again.Code, again.OrderedVersion.Value).Should().Be((first.Outcome, first.Code, first.OrderedVersion.Value));
    }

    /// <summary>Three replicas of which the first leads, and one has a disk that can be told to take its time with the key "slow".</summary>
    private static ReplicaCluster OpenShard(uint stallsAt, out StallingStorage disk)
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap);
        StallingStorage? made = null;
        cluster.Over = (node, storage) => node.Value == stallsAt ? made = new StallingStorage(storage, "slow"u8.ToArray()) : storage;
        cluster[stallsAt].LosePower();
        cluster[stallsAt].Start();
        cluster.Elect(1);
        cluster.Tick(60);
        disk = made!;
        return cluster;
    }

    private static void Order(ReplicaCluster cluster)
    {
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => Enumerable.Range(1, 3).All(node => cluster[(uint)node].Status is { Current.Kind: RegimeKind.Ordered, Switch.IsLate: false }), "the log has taken over");
    }
}

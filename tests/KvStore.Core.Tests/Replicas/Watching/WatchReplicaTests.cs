using System.Text;
using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;
using Xunit;
using Reader = KvStore.Core.Tests.Replicas.Watching.WatchedReplica.Reader;

namespace KvStore.Core.Tests.Replicas.Watching;

/// <summary>Watches of whole replicas: what is told, and that a resume at another replica neither loses nor repeats.</summary>
public class WatchReplicaTests
{
    private static readonly KeyspaceMode CpSync = new(PartitionChoice.Cp, Replication.Sync);
    private static readonly KeyspaceMode ApSync = new(PartitionChoice.Ap, Replication.Sync);

    [Fact]
    public void An_ordered_shard_tells_each_change_once_in_order_and_a_delete_from_an_expiry()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Cp);
        Reader reader = watched[2].ReadFromNow();
        cluster.Put(cluster[1], "a", "1");
        cluster.Put(cluster[1], "b", "1", ttlMs: 1_000);
        cluster.Put(cluster[1], "a", "2");
        Delete(cluster, 1, "a");
        Delete(cluster, 1, "never-there");
        cluster.PutIf(cluster[1], "a", "3", KvStateMachine.EncodeVersion(new(999)));
        cluster.Wait(2_000);
        watched[2].Pump(reader);
        reader.Read().Should().Be("a=1 b=1 a=2 -a ~b", "what changed nothing is not told");
        reader.Read().Should().BeEmpty();
    }

    [Fact]
    public void A_position_of_one_replica_resumes_exactly_at_another_under_another_leader()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Cp);
        Reader first = watched[0].ReadFromNow();
        for (int i = 1; i <= 5; i++)
        {
            cluster.Put(cluster[1], "k", $"{i}");
        }

        watched[0].Pump(first);
        first.Read(most: 3).Should().Be("k=1 k=2 k=3");
        cluster[1].LosePower();
        cluster.TickUntil(() => cluster[2].Replica.IsLeader || cluster[3].Replica.IsLeader, "another leads");
        cluster.Put(cluster.Leader, "k", "6");
        cluster.Tick(20);
        watched[1].Pump();
        watched[1].ReadFrom(first.Positions[^1]).Read().Should().Be("k=4 k=5 k=6");
        watched[1].ReadFrom(first.Positions[0]).Read().Should().Be("k=2 k=3 k=4 k=5 k=6");
    }

    [Fact]
    public void A_replica_that_is_not_so_far_yet_lets_the_reader_wait_and_then_tells_what_follows()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Cp);
        Reader first = watched[0].ReadFromNow();
        cluster.Cut(3);
        cluster.Put(cluster[1], "k", "1");
        cluster.Put(cluster[1], "k", "2");
        watched[0].Pump(first);
        first.Read();
        watched[2].Pump();
        Reader late = watched[2].ReadFrom(first.Positions[^1]);
        late.Cursor.State.Should().Be(CursorState.Waiting);
        cluster.Heal();
        cluster.TickUntil(() => cluster[3].Status.Applied == cluster[1].Status.Applied, "it has caught up");
        watched[2].Pump(late);
        late.Cursor.State.Should().Be(CursorState.Reading);
        late.Read().Should().BeEmpty("it knows both");
        cluster.Put(cluster[1], "k", "3");
        cluster.Tick(20);
        watched[2].Pump(late);
        late.Read().Should().Be("k=3");
    }

    [Fact]
    public void A_position_older_than_the_window_is_a_gap_and_so_is_one_from_before_a_snapshot()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Cp, maxChanges: 3);
        Reader first = watched[0].ReadFromNow();
        byte[] start = watched[0].Window.TailPosition;
        for (int i = 1; i <= 5; i++)
        {
            cluster.Put(cluster[1], "k", $"{i}");
        }

        watched[0].Pump(first);
        watched[0].ReadFrom(start).Cursor.State.Should().Be(CursorState.Gap);
        first.Read();
        first.Cursor.State.Should().Be(CursorState.Behind, "the window has passed over a reader that had not read");
        watched[0].ReadFrom(watched[0].Window[watched[0].Window.First].Position!).Read().Should().Be("k=4 k=5");
    }

    [Fact]
    public void A_restarted_replica_goes_on_where_its_log_was_read_back()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Cp);
        Reader first = watched[0].ReadFromNow();
        cluster.Put(cluster[1], "k", "1");
        cluster.Tick(100);
        watched[0].Pump(first);
        first.Read();
        cluster[3].LosePower();
        cluster.Put(cluster[1], "k", "2");
        cluster[3].Start();
        cluster.TickUntil(() => cluster[3].Status.Applied == cluster[1].Status.Applied, "it has caught up");
        var again = new WatchedReplica(cluster[3]);
        again.Pump();
        again.ReadFrom(first.Positions[^1]).Read().Should().Be("k=2");
    }

    [Fact]
    public void An_open_shard_tells_concurrent_values_as_such_and_each_write_once()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Ap);
        Reader one = watched[0].ReadFromNow();
        Reader two = watched[1].ReadFromNow();
        cluster.Split(1);
        cluster.Put(cluster[1], "k", "left");
        cluster.Put(cluster[2], "k", "right");
        cluster.Heal();
        cluster.TickUntil(() => cluster.Get(cluster[1], "k", ReadLevel.Eventual).Siblings?.Count == 2 && cluster.Get(cluster[2], "k", ReadLevel.Eventual).Siblings?.Count == 2, "healed");
        Delete(cluster, 2, "k");
        cluster.Tick(50);
        watched[0].Pump(one);
        watched[1].Pump(two);
        one.Read().Should().Be("k=left k=left|right -k");
        two.Read().Should().Be("k=right k=left|right -k");
    }

    [Fact]
    public void A_resume_at_another_open_replica_tells_what_the_reader_lacks_and_nothing_that_it_has()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Ap);
        Reader one = watched[0].ReadFromNow();
        cluster.Put(cluster[1], "a", "1");
        cluster.Put(cluster[2], "b", "1");
        cluster.Tick(50);
        watched[0].Pump(one);
        one.Read();
        byte[] seen = one.Positions[^1];
        cluster.Put(cluster[3], "a", "2");
        cluster.Put(cluster[2], "b", "2");
        cluster.Tick(50);
        watched[1].Pump();
        Reader resumed = watched[1].ReadFrom(seen);
        string.Join(' ', resumed.Read().Split(' ').Order()).Should().Be("a=2 b=2");
    }

    [Fact]
    public void A_resume_never_goes_back_behind_what_the_reader_has_seen_of_a_key()
    {
        // Replica 1 has the newer value and never saw the older one by itself; replica 2 saw the older one first. Told in replica 2's order, the reader would end with the older value.
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Ap);
        Reader one = watched[0].ReadFromNow();
        cluster.Cut(1);
        cluster.Put(cluster[2], "k", "old");
        cluster.Put(cluster[2], "other", "x");
        cluster.Tick(50);
        cluster.Heal();
        cluster.Put(cluster[2], "k", "new");
        cluster.TickUntil(() => ReplicaCluster.TextOf(cluster.Get(cluster[1], "k", ReadLevel.Eventual)) == "new" && ReplicaCluster.TextOf(cluster.Get(cluster[1], "other", ReadLevel.Eventual)) == "x", "healed");
        watched[0].Pump(one);
        one.Read();
        watched[1].Pump();
        byte[] before = one.Positions[one.Told.IndexOf("k=new")];
        Reader resumed = watched[1].ReadFrom(before);
        resumed.Read().Should().NotContain("k=old");
        resumed.Cursor.State.Should().Be(CursorState.Reading);
    }

    [Fact]
    public void A_reader_whose_replica_died_with_a_write_that_nobody_else_has_waits_for_it()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Ap);
        cluster.Cut(1);
        Reader one = watched[0].ReadFromNow();
        cluster.Put(cluster[1], "k", "alone");
        watched[0].Pump(one);
        one.Read().Should().Be("k=alone");
        cluster.Put(cluster[2], "k", "others");
        watched[1].Pump();
        Reader two = watched[1].ReadFrom(one.Positions[^1]);
        two.Cursor.State.Should().Be(CursorState.Waiting);
        cluster.Heal();
        cluster.TickUntil(() => cluster.Get(cluster[2], "k", ReadLevel.Eventual).Siblings?.Count == 2, "healed");
        watched[1].Pump(two);
        two.Read().Should().Be("k=alone|others", "that the key has both is told once");
    }

    [Fact]
    public void A_watch_goes_on_through_changes_of_the_regime_and_can_be_resumed_across_them()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Cp);
        Reader all = watched[0].ReadFromNow();
        cluster.Put(cluster[1], "k", "1");
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(20);
        cluster.Put(cluster[2], "k", "2");
        cluster.Put(cluster[3], "k", "3");
        cluster.Tick(20);
        cluster.ChangeMode(CpSync).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster.Leader, "k", "4");
        cluster.Tick(20);
        cluster.ChangeMode(ApSync).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(20);
        cluster.Put(cluster[1], "k", "5");
        cluster.Tick(50);
        watched[0].Pump(all);
        all.Read().Should().Be("k=1 k=2 k=3 k=4 k=5");

        watched[1].Pump();
        for (int told = 1; told <= 4; told++)
        {
            string rest = string.Join(' ', all.Told.Skip(told));
            watched[0].ReadFrom(all.Positions[told - 1]).Read().Should().Be(rest, $"resumed at the same replica behind {told}");
            watched[1].ReadFrom(all.Positions[told - 1]).Read().Should().Be(rest, $"resumed at another replica behind {told}");
        }
    }

    [Fact]
    public void Evictions_are_no_deletes()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Ap, memoryBytes: 4_096);
        Reader reader = watched[0].ReadFromNow();
        for (int i = 0; i < 40; i++)
        {
            cluster.Put(cluster[1], $"k{i}", new string('v', 100));
        }

        watched[0].Pump(reader);
        reader.Read();
        reader.Told.Should().Contain(told => told.StartsWith('?')).And.NotContain(told => told.StartsWith('-') || told.StartsWith('~'));
    }

    [Fact]
    public void Writes_in_an_open_shard_are_told_when_they_are_durable()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Ap);
        Reader reader = watched[0].ReadFromNow();
        cluster[1].Replica.Submit(new ClientOperation { Kind = OperationKind.Put, Key = "k"u8.ToArray(), Value = "v"u8.ToArray(), DeadlineMs = long.MaxValue });
        cluster[1].Replica.Turn();
        watched[0].Pump(reader);
        reader.Read().Should().BeEmpty("it is in memory only");
        cluster.Settle();
        watched[0].Pump(reader);
        reader.Read().Should().Be("k=v");
    }

    [Fact]
    public void A_prefix_and_a_key_hear_of_their_own_only()
    {
        (ReplicaCluster cluster, WatchedReplica[] watched) = Watched(PartitionChoice.Cp);
        Reader prefix = watched[0].ReadFromNow(WatchRange.Prefix("ab"u8.ToArray()));
        Reader key = watched[0].ReadFromNow(WatchRange.Only(new("ab"u8.ToArray())));
        foreach (string name in (string[])["a", "ab", "abc", "b"])
        {
            cluster.Put(cluster[1], name, "1");
        }

        watched[0].Pump(prefix, key);
        prefix.Read().Should().Be("ab=1 abc=1");
        key.Read().Should().Be("ab=1");
    }

    private static (ReplicaCluster, WatchedReplica[]) Watched(PartitionChoice partition, int maxChanges = 1_000, long memoryBytes = 0)
    {
        var cluster = new ReplicaCluster(3, partition, WatchedReplica.Options, memoryBytes: memoryBytes);
        cluster.Elect(1);
        cluster.Tick(4);
        WatchedReplica[] watched = [.. Enumerable.Range(1, 3).Select(node => new WatchedReplica(cluster[(uint)node], maxChanges))];
        foreach (WatchedReplica each in watched)
        {
            each.Pump();
        }

        return (cluster, watched);
    }

    private static void Delete(ReplicaCluster cluster, uint node, string key) =>
        cluster.Submit(cluster[node], new ClientOperation { Kind = OperationKind.Delete, Key = Encoding.UTF8.GetBytes(key) });
}

using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

public class SnapshotTests
{
    private const int Keys = 20;
    private const int ValueBytes = 1_000;

    private static readonly ReplicaOptions Short = new() { KeepEntries = 2, CompactStep = 1, SnapshotPageBytes = 1_000 };

    [Fact]
    public void Pages_are_paced_to_the_bytes_a_second_that_are_allowed()
    {
        // 20 kB at 10,000 bytes a second: the first second's worth at once, the rest over one more second of 40 ticks.
        var cluster = new ReplicaCluster(1, options: Short with { SnapshotBytesPerSecond = 10_000 });
        Fill(cluster);
        ReplicaMachine newcomer = cluster.Add(PlaceOf(2));
        cluster.Ask(cluster.Leader, Places(1), Places(2));
        cluster.Settle();
        cluster.Tick(3);
        int atOnce = cluster.Pages.Count;
        atOnce.Should().BeInRange(9, 12);

        cluster.Tick(20);
        (cluster.Pages.Count - atOnce).Should().BeInRange(4, 7);
        cluster.TickUntil(() => Has(cluster, newcomer, Keys - 1), "the snapshot is installed");
        cluster.Pages.Should().HaveCountGreaterThanOrEqualTo(Keys);
    }

    [Fact]
    public void Several_followers_that_need_a_snapshot_get_it_one_after_another()
    {
        var cluster = new ReplicaCluster(1, options: Short);
        Fill(cluster);
        ReplicaMachine[] newcomers = [cluster.Add(PlaceOf(2)), cluster.Add(PlaceOf(3)), cluster.Add(PlaceOf(4))];
        cluster.Change(Places(1), Places(2, 3, 4)).Outcome.Should().Be(Outcome.Done);

        cluster.TickUntil(() => newcomers.All(newcomer => Has(cluster, newcomer, Keys - 1)), "all have it");
        int switches = cluster.Pages.Zip(cluster.Pages.Skip(1)).Count(pair => pair.First != pair.Second);
        switches.Should().Be(2, "each gets all its pages before the next gets any: " + string.Join(' ', cluster.Pages));
    }

    [Fact]
    public void A_record_that_came_with_a_snapshot_is_fetched_when_somebody_peeks_at_it()
    {
        var cluster = new ReplicaCluster(1, options: Short);
        Fill(cluster);
        ReplicaMachine newcomer = cluster.Add(PlaceOf(2));
        cluster.Change(Places(1), Places(2)).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => newcomer.Status.Applied == cluster.Leader.Status.Applied, "the snapshot is installed");
        cluster.Pages.Should().NotBeEmpty();

        // This is how a node follows the catalog: nothing else would ever ask its disk for it.
        cluster.TickUntil(() => newcomer.Replica.TryPeek(System.Text.Encoding.UTF8.GetBytes(Key(0)), out _, out LogIndex version) && version > LogIndex.Zero, "it is fetched");
    }

    [Fact]
    public void A_snapshot_ends_when_its_receiver_is_removed_and_the_next_in_line_gets_his()
    {
        var cluster = new ReplicaCluster(1, options: Short with { SnapshotBytesPerSecond = 2_000 });
        Fill(cluster);
        cluster.Add(PlaceOf(2));
        ReplicaMachine next = cluster.Add(PlaceOf(3));
        cluster.Change(Places(1), Places(2)).Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => cluster.Pages.Count > 2, "the snapshot is on its way");
        cluster.Change(Places(1), Places(2, 3)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(20);
        cluster.Pages.Should().OnlyContain(node => node == new NodeId(2), "the second waits for the first");

        cluster.Change(Places(1), Places(3)).Outcome.Should().Be(Outcome.Done);
        int before = cluster.Pages.Count;
        cluster.TickUntil(() => Has(cluster, next, Keys - 1), "the second has it");
        cluster.Pages.Skip(before).Should().OnlyContain(node => node == new NodeId(3));
    }

    [Fact]
    public void A_follower_serves_stale_reads_from_what_it_has_while_pages_come_in()
    {
        var cluster = new ReplicaCluster(3, options: Short with { SnapshotBytesPerSecond = 2_000 });
        ReplicaMachine leader = cluster.Elect(1);
        cluster.Put(leader, Key(0), "old");
        cluster.Tick(3);
        cluster.Cut(3);
        cluster.Put(leader, Key(0), "new");
        Fill(cluster, from: 1);
        cluster.Heal();
        cluster.TickUntil(() => cluster.Pages.Count > 4, "pages are on their way");

        Has(cluster, cluster[3], Keys - 1).Should().BeFalse();
        Completion stale = cluster.Get(cluster[3], Key(0), ReadLevel.Eventual);
        (stale.Outcome, TextOf(stale)).Should().Be((Outcome.Done, "old"));
        cluster.TickUntil(() => TextOf(cluster.Get(cluster[3], Key(0), ReadLevel.Eventual)) == "new", "the snapshot is installed");
    }

    [Fact]
    public void A_lost_page_ends_the_attempt_and_another_one_succeeds()
    {
        var cluster = new ReplicaCluster(1, options: Short with { SnapshotPageTicks = 10 });
        Fill(cluster);
        ReplicaMachine newcomer = cluster.Add(PlaceOf(2));
        cluster.Lost.Add("Page");
        cluster.Change(Places(1), Places(2)).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(30);
        Has(cluster, newcomer, 0).Should().BeFalse();

        cluster.Lost.Clear();
        cluster.TickUntil(() => Has(cluster, newcomer, Keys - 1), "the snapshot is installed");
    }

    [Fact]
    public void Compaction_never_outruns_what_the_view_has_flushed_so_a_power_loss_everywhere_loses_nothing()
    {
        // The view is never flushed: all that was compacted from memory must still be in the log.
        var cluster = new ReplicaCluster(3, options: Short with { SealTicks = 1 });
        Fill(cluster, elect: true);
        cluster.Tick(50);
        cluster.Leader.Status.LastIndex.Value.Should().BeGreaterThan(Keys);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].LosePower();
        }

        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].Start();
        }

        cluster.TickUntilLed();
        for (int i = 0; i < Keys; i++)
        {
            cluster.Get(cluster.Leader, Key(i)).Value.Length.Should().Be(ValueBytes);
        }
    }

    [Fact]
    public void The_log_is_released_behind_what_is_flushed_and_a_restart_finds_all_the_same()
    {
        var cluster = new ReplicaCluster(3, options: Short with { SealTicks = 1 }, retainedLogBytes: 8 * 1024);
        Fill(cluster, elect: true);
        cluster.Tick(50);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].LosePower();
            cluster[node].Start();
        }

        cluster.TickUntilLed();
        for (int i = 0; i < Keys; i++)
        {
            cluster.Get(cluster.Leader, Key(i)).Value.Length.Should().Be(ValueBytes);
        }
    }

    private static string Key(int i) => $"key {i:00}";

    private static void Fill(ReplicaCluster cluster, int from = 0, bool elect = false)
    {
        if (elect || cluster.Founders.Length == 1)
        {
            cluster.Elect(1);
        }

        for (int i = from; i < Keys; i++)
        {
            cluster.Put(cluster.Leader, Key(i), new string('v', ValueBytes)).Outcome.Should().Be(Outcome.Done);
            cluster.Tick();
        }
    }

    private static bool Has(ReplicaCluster cluster, ReplicaMachine machine, int key) => cluster.Get(machine, Key(key), ReadLevel.Eventual).Value.Length == ValueBytes;
}

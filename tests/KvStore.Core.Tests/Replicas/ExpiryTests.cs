using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Scenario 62 and counterexample C22: values that expire, in both regimes.</summary>
public sealed class ExpiryTests
{
    private const ulong Ttl = 2_000;

    [Fact]
    public void An_ordered_value_is_there_for_all_its_time_and_gone_soon_after_on_every_replica()
    {
        ReplicaCluster cluster = Ordered();
        cluster.Put(cluster[1], "k", "v", ttlMs: Ttl);
        cluster.Wait(1_900);
        Completion read = cluster.Get(cluster[1], "k");
        TextOf(read).Should().Be("v");
        read.ExpiresInMs.Should().BeInRange(1, 100);

        cluster.Wait(150);
        TextOf(cluster.Get(cluster[1], "k")).Should().Be("(none)");
        cluster.Wait(500);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            TextOf(cluster.Get(cluster[node], "k", ReadLevel.Eventual)).Should().Be("(none)");
        }
    }

    [Fact]
    public void A_new_leader_expires_on_time_and_one_whose_wall_clock_runs_ahead_not_early()
    {
        ReplicaCluster cluster = Ordered();
        cluster[2].WallAheadMs = 3_600_000;
        cluster.Tick();
        cluster.Put(cluster[1], "k", "v", ttlMs: Ttl);
        cluster.Wait(500);
        cluster.HandOver(2);
        cluster.Wait(1_300);
        TextOf(cluster.Get(cluster[2], "k")).Should().Be("v", "the replica has seen the write and knows how long ago that was");
        cluster.Wait(500);
        TextOf(cluster.Get(cluster[2], "k")).Should().Be("(none)");
    }

    [Fact]
    public void A_new_leader_whose_wall_clock_is_behind_only_expires_later()
    {
        ReplicaCluster cluster = Ordered();
        cluster[2].WallAheadMs = -5_000;
        cluster.Wait(6_000);
        cluster.Put(cluster[1], "k", "v", ttlMs: Ttl);
        cluster.HandOver(2);
        cluster.Wait(4_000);
        TextOf(cluster.Get(cluster[2], "k")).Should().Be("v");
        cluster.Wait(5_000);
        TextOf(cluster.Get(cluster[2], "k")).Should().Be("(none)");
    }

    [Fact]
    public void A_refresh_restarts_the_time_and_a_put_without_one_ends_it()
    {
        ReplicaCluster cluster = Ordered();
        cluster.Put(cluster[1], "refreshed", "v", ttlMs: Ttl);
        cluster.Put(cluster[1], "kept", "v", ttlMs: Ttl);
        cluster.Wait(1_500);
        cluster.Put(cluster[1], "refreshed", "v2", ttlMs: Ttl);
        cluster.Put(cluster[1], "kept", "v2");
        cluster.Wait(1_500);
        TextOf(cluster.Get(cluster[1], "refreshed")).Should().Be("v2");
        cluster.Wait(1_000);
        TextOf(cluster.Get(cluster[1], "refreshed")).Should().Be("(none)");
        cluster.Get(cluster[1], "kept").ExpiresInMs.Should().Be(0);
        TextOf(cluster.Get(cluster[1], "kept")).Should().Be("v2");
    }

    [Fact]
    public void What_has_expired_does_not_stand_in_the_way_of_a_write_that_wants_the_key_absent()
    {
        ReplicaCluster cluster = Ordered();
        cluster.Put(cluster[1], "lock", "me", ttlMs: Ttl, condition: WriteCondition.IfAbsent).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[1], "lock", "you", ttlMs: Ttl, condition: WriteCondition.IfAbsent).Code.Should().Be(RefusalCode.ConditionFailed);

        // The time is over and no tick has seen it.
        cluster.Wait((int)Ttl - (2 * cluster.Options.TickMs));
        TextOf(cluster.Get(cluster[1], "lock")).Should().Be("me");
        cluster.PassTime(3 * cluster.Options.TickMs);

        cluster.Put(cluster[1], "lock", "you", ttlMs: Ttl, condition: WriteCondition.IfAbsent).Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void The_keyspace_s_default_holds_for_writes_that_say_nothing()
    {
        ReplicaCluster cluster = Ordered(Ttl);
        cluster.Put(cluster[1], "default", "v");
        cluster.Put(cluster[1], "never", "v", ttlMs: ClientOperation.NoExpiry);
        cluster.Increment(cluster[1], "count");
        cluster.Wait(1_000);
        cluster.Increment(cluster[1], "count").Counter.Should().Be(2, "and the counter keeps its time");
        cluster.Wait(1_500);
        TextOf(cluster.Get(cluster[1], "default")).Should().Be("(none)");
        TextOf(cluster.Get(cluster[1], "never")).Should().Be("v");
        TextOf(cluster.Get(cluster[1], "count")).Should().Be("(none)");
    }

    [Theory]
    [InlineData(PartitionChoice.Cp)]
    [InlineData(PartitionChoice.Ap)]
    public void After_restarts_of_all_what_has_to_expire_is_found_again(PartitionChoice partition)
    {
        ReplicaCluster cluster = New(partition);
        cluster.Put(cluster[1], "k", "v", ttlMs: 5_000);
        cluster.Wait(1_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].LosePower();
            cluster[node].Start();
        }

        cluster.TickUntilLed();
        TextOf(cluster.Get(cluster[1], "k", ReadLevel.Eventual)).Should().Be("v");
        cluster.Wait(12_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            TextOf(cluster.Get(cluster[node], "k", ReadLevel.Eventual)).Should().Be("(none)");
        }

        if (partition == PartitionChoice.Ap)
        {
            cluster[1].Status.PeerLag.Should().Be(0);
            cluster.Scan(cluster[1]).Items.Should().BeEmpty();
        }
    }

    [Fact]
    public void An_open_value_is_hidden_when_its_time_is_over_and_leaves_no_residue()
    {
        ReplicaCluster cluster = Open();
        cluster.Put(cluster[1], "k", "v", ttlMs: Ttl);
        cluster.Put(cluster[1], "other", "v");
        cluster.Wait(1_900);
        TextOf(cluster.Get(cluster[2], "k", ReadLevel.Eventual)).Should().Be("v");
        cluster.Scan(cluster[2]).Items.Should().HaveCount(2);
        cluster.Wait(125);
        TextOf(cluster.Get(cluster[2], "k", ReadLevel.Eventual)).Should().Be("(none)");
        cluster.Scan(cluster[2]).Items.Should().HaveCount(1, "a scan hides it too");

        cluster.Wait(3_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].RawKeys.Should().Equal("other");
            cluster[node].Status.Clock.Should().Be(cluster[1].Status.Clock);
        }

        cluster[1].Status.Clock.Split(' ').Should().HaveCount(1, "one replica has minted: who had written it deleted it, and nobody else");
    }

    [Fact]
    public void An_open_refresh_that_the_expiry_never_saw_survives_it()
    {
        ReplicaCluster cluster = Open();
        cluster.Put(cluster[1], "k", "v", ttlMs: Ttl);
        cluster.Cut(3);
        cluster.Wait(1_500);
        cluster.Put(cluster[3], "k", "refreshed", ttlMs: 60_000);
        cluster.Wait(3_000);
        TextOf(cluster.Get(cluster[1], "k", ReadLevel.Eventual)).Should().Be("(none)");
        cluster.Heal();
        cluster.Wait(3_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            Completion read = cluster.Get(cluster[node], "k", ReadLevel.Eventual);
            TextOf(read).Should().Be("refreshed");
            read.Siblings.Should().BeNull();
        }
    }

    [Fact]
    public void Where_the_newest_value_wins_its_expiry_brings_nothing_older_to_light()
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap, conflicts: ConflictRule.LastWriterWins);
        cluster.Elect(1);
        cluster.Tick(60);
        cluster.Put(cluster[1], "k", "older");
        cluster.Tick(4);
        cluster.Submit(cluster[2], new ClientOperation { Kind = OperationKind.Put, Key = "k"u8.ToArray(), Value = "newer"u8.ToArray(), Condition = WriteCondition.InContext, TtlMs = 100 });
        cluster.PassTime(150);
        TextOf(cluster.Get(cluster[2], "k", ReadLevel.Eventual)).Should().Be("(none)");
        cluster.Wait(5_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            TextOf(cluster.Get(cluster[node], "k", ReadLevel.Eventual)).Should().Be("(none)");
            cluster[node].RawKeys.Should().BeEmpty();
        }
    }

    [Fact]
    public void When_the_writer_of_an_open_value_is_gone_another_replica_deletes_it_after_a_grace()
    {
        ReplicaCluster cluster = Open();
        cluster.Put(cluster[3], "k", "v", ttlMs: Ttl);
        cluster.Cut(3);
        cluster.Wait(2_100);
        cluster[1].RawKeys.Should().Equal("k");
        cluster.Wait(2_500);
        cluster[1].RawKeys.Should().BeEmpty();
        TextOf(cluster.Get(cluster[3], "k", ReadLevel.Eventual)).Should().Be("(none)", "it is hidden there too");
        cluster.Heal();
        cluster.Wait(3_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].RawKeys.Should().BeEmpty();
        }
    }

    [Fact]
    public void An_open_replica_whose_wall_clock_jumps_ahead_takes_away_nothing_that_it_saw_being_written()
    {
        ReplicaCluster cluster = Open();
        cluster.Put(cluster[1], "k", "v", ttlMs: 60_000);
        cluster[2].WallAheadMs = 3_600_000;
        cluster.Wait(10_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            TextOf(cluster.Get(cluster[node], "k", ReadLevel.Eventual)).Should().Be("v");
        }
    }

    [Fact]
    public void What_was_written_provisionally_expires_after_its_merge_and_what_stands_beside_it_stays()
    {
        ReplicaCluster cluster = New(PartitionChoice.Adaptive);
        cluster.Put(cluster[1], "both", "before");
        cluster.Cut(3);
        cluster.TickUntil(() => cluster[3].Status.Regime == Regime.Provisional, "provisional service");
        cluster.Put(cluster[3], "both", "outside", ttlMs: 10_000).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[3], "alone", "outside", ttlMs: 10_000);
        cluster.Put(cluster.Leader, "both", "inside");
        cluster.Increment(cluster[3], "count").Code.Should().Be(RefusalCode.ProvisionalRefused, "a counter's value needs one order of all writes");

        cluster.Heal();
        cluster.TickUntil(() => TextOf(cluster.Get(cluster.Leader, "alone")) == "outside", "the merge");
        cluster.Get(cluster.Leader, "both").Siblings.Should().HaveCount(2);
        cluster.Wait(12_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            Completion both = cluster.Get(cluster[node], "both", ReadLevel.Eventual);
            (TextOf(both), both.Siblings).Should().Be(("inside", null));
            TextOf(cluster.Get(cluster[node], "alone", ReadLevel.Eventual)).Should().Be("(none)");
        }
    }

    [Fact]
    public void The_reminders_are_bounded_and_those_that_were_left_out_are_found_by_a_scan()
    {
        var clock = new ReplicaClock();
        clock.Set(0, 1_000);
        var index = new ExpiryIndex(clock, capacity: 4);
        for (int i = 0; i < 8; i++)
        {
            index.NoteWritten([(byte)(10 - i)], 1, (ulong)(10 - i) * 100);
        }

        index.Count.Should().Be(4);
        index.WantsScan.Should().BeFalse();
        clock.Set(650, 1_650);
        index.TryPeek(out Key first).Should().BeTrue();
        first.Span.ToArray().Should().Equal(3);
        index.MayHaveExpired([3]).Should().BeTrue();
        index.MayHaveExpired([6]).Should().BeTrue("600 ms have passed");
        index.Remove([3]);
        index.Remove([4]);
        index.WantsScan.Should().BeTrue();
        index.BeginScan();
        index.NoteIfUnknown([9], 1_900, 900);
        index.Count.Should().Be(3);
        index.MayHaveExpired([9]).Should().BeFalse();
    }

    private static ReplicaCluster Ordered(ulong defaultTtlMs = 0) => New(PartitionChoice.Cp, defaultTtlMs);

    private static ReplicaCluster Open() => New(PartitionChoice.Ap);

    private static ReplicaCluster New(PartitionChoice partition, ulong defaultTtlMs = 0)
    {
        var cluster = new ReplicaCluster(3, partition, defaultTtlMs: defaultTtlMs);
        cluster.Elect(1);
        cluster.Tick(60);
        return cluster;
    }
}

using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Storage.View;
using Xunit;

namespace KvStore.Storage.Tests;

/// <summary>What <see cref="IReplicaStorage"/> promises, on both engines.</summary>
public abstract class ReplicaStorageContractTests(StorageEngine engine)
{
    protected StorageBench Bench(Func<StorageOptions, StorageOptions>? adjust = null) => new(engine, adjust);

    private static readonly ShardId Other = new(7, 2);

    [Fact]
    public void An_appended_record_is_reported_durable_and_found_after_a_restart()
    {
        using var bench = Bench();
        bench.Sync(bench.Entry(1, "one"));
        bench.Sync(bench.Entry(2, "two"));
        bench.Reopen();
        bench.Node.WasCleanShutdown.Should().BeTrue();
        bench.Node.Incarnation.Should().Be(2);
        bench.Node.RecoveredShards.Should().Equal(StorageBench.Shard);
        bench.Recovered.Records.Select(record => record.Index.Value).Should().Equal(1, 2);
        bench.Recovered.Records[1].Payload.ToArray().Should().Equal(StorageBench.Bytes("two"));
        bench.Recovered.Position.Should().Be(ViewPosition.Zero);
    }

    [Fact]
    public void A_lazy_record_becomes_durable_without_a_second_submit()
    {
        using var bench = Bench();
        bench.Sync(bench.Entry(1, "one", SyncUrgency.Lazy));
        bench.Sink.Durable.Should().Be(new LogPosition(1));
    }

    [Fact]
    public void To_warm_a_lookup_changes_nothing()
    {
        using var bench = Bench();
        bench.Replica.Put(RecordSpace.Data, "here"u8, StorageBench.Bytes("value"));
        bench.Replica.Remove(RecordSpace.Data, "gone"u8);
        foreach (var key in new[] { "here", "gone", "never" })
        {
            foreach (var step in Enum.GetValues<WarmStep>())
            {
                bench.Replica.Warm(RecordSpace.Data, KeyHash.Of(StorageBench.Bytes(key)), step);
                bench.Replica.Warm(RecordSpace.Meta, KeyHash.Of(StorageBench.Bytes(key)), step);
            }
        }

        bench.Replica.WarmPays.Should().BeFalse("so few records are in every cache");
        bench.Replica.Find(RecordSpace.Data, "here"u8, out var record).Should().Be(RecordLookup.Found);
        record.ToArray().Should().Equal(StorageBench.Bytes("value"));
        bench.Replica.Find(RecordSpace.Data, "gone"u8, out _).Should().Be(RecordLookup.Absent);
        bench.Replica.Find(RecordSpace.Data, "never"u8, out _).Should().Be(RecordLookup.Absent);
    }

    [Fact]
    public void A_put_is_found_at_once_and_a_removed_record_is_absent()
    {
        using var bench = Bench();
        bench.Get("k").Should().BeNull("a new replica's table is complete");
        bench.Put("k", "v");
        bench.Get("k").Should().Be("v");
        bench.Get("k", RecordSpace.Overlay).Should().BeNull("spaces are separate");
        bench.Remove("k");
        bench.Get("k").Should().BeNull();
        bench.Replica.UnsealedBytes.Should().BePositive();
        bench.Seal(1);
        bench.Replica.UnsealedBytes.Should().Be(0);
    }

    [Fact]
    public void The_view_stands_at_its_flushed_position_after_a_clean_restart()
    {
        using var bench = Bench();
        bench.Put("a", "1");
        bench.Put("b", "2");
        bench.Seal(10);
        bench.Remove("a");
        bench.Put("c", "3");
        bench.Seal(11);
        bench.Put("d", "never sealed");
        bench.Reopen();
        bench.Recovered.Position.Applied.Should().Be(new LogIndex(11));
        bench.Replica.DurablePosition.Applied.Should().Be(new LogIndex(11));
        bench.Get("a").Should().BeNull();
        bench.Get("b").Should().Be("2");
        bench.Get("c").Should().Be("3");
        bench.Get("d").Should().BeNull();
    }

    [Fact]
    public void The_durable_position_advances_with_a_flush_only()
    {
        using var bench = Bench();
        bench.Put("a", "1");
        bench.Seal(5);
        bench.Replica.DurablePosition.Should().Be(ViewPosition.Zero);
        bench.Flush(5);
        bench.Replica.DurablePosition.Applied.Should().Be(new LogIndex(5));
    }

    [Fact]
    public void The_view_never_knows_more_than_the_durable_log()
    {
        using var bench = Bench();
        bench.Entry(1, "cause");
        bench.Put("a", "effect");
        bench.Seal(1);
        bench.Node.RequestFlush();
        bench.Node.Writer.RunInline();
        bench.Node.Writer.DirtyBytes.Should().BePositive("the record was never submitted, so the slice must wait");
        bench.Sync(new LogPosition(1));
        bench.Sink.Until(() => bench.Node.Writer.DirtyBytes == 0, "slice written");
    }

    [Fact]
    public void A_scan_sees_what_was_sealed_in_key_order_page_by_page()
    {
        using var bench = Bench();
        foreach (var key in new[] { "b", "a", "ab", "c", "abc", "ac" })
        {
            bench.Put(key, key + "!");
        }

        bench.Put("m", "meta", RecordSpace.Meta);
        bench.Put("o", "dots", RecordSpace.DotKeys);
        bench.Put("p", "overlay", RecordSpace.Overlay);
        bench.Put("q", "conflicts", RecordSpace.Conflicts);
        bench.Seal(1);
        bench.ScanAll(RecordSpace.Data, pageRecords: 2).Select(record => record.Key).Should().Equal("a", "ab", "abc", "ac", "b", "c");
        bench.ScanAll(RecordSpace.Data, prefix: "ab").Select(record => record.Key).Should().Equal("ab", "abc");
        bench.ScanAll(null, pageRecords: 2).Select(record => record.Key).Should().Equal("m", "a", "ab", "abc", "ac", "b", "c", "o");
        bench.ScanAll(null).Select(record => record.Space).Distinct().Should().Equal([RecordSpace.Meta, RecordSpace.Data, RecordSpace.DotKeys], "a snapshot carries no overlay and no list of conflicts");
    }

    [Fact]
    public void A_page_ends_with_the_record_that_reaches_its_bytes()
    {
        using var bench = Bench();
        for (var i = 0; i < 5; i++)
        {
            bench.Put($"k{i}", new string('x', 98));
        }

        bench.Seal(1);
        var page = bench.Scan(new ScanRequest { Tag = 0, Space = RecordSpace.Data, MaxRecords = 100, MaxBytes = 150 });
        page.Records.Should().HaveCount(2);
        page.More.Should().BeTrue();
    }

    [Fact]
    public void A_pinned_view_does_not_move()
    {
        using var bench = Bench();
        bench.Put("a", "old");
        bench.Seal(1);
        var pinned = bench.Replica.PinView();
        bench.Put("a", "new");
        bench.Put("b", "new");
        bench.Seal(2);
        bench.ScanAll(null, pinned).Select(record => record.Value).Should().Equal("old");
        bench.ScanAll().Select(record => record.Value).Should().Equal("new", "new");
        bench.Replica.ReleaseView(pinned);
        var again = bench.Replica.PinView();
        bench.Replica.PinView().Should().NotBe(again);
    }

    [Fact]
    public void An_install_replaces_the_whole_view_at_its_position()
    {
        using var bench = Bench();
        bench.Put("old", "1");
        bench.Seal(3);
        bench.Replica.BeginInstall();
        bench.Replica.Install(RecordSpace.Data, StorageBench.Bytes("discarded"), StorageBench.Bytes("x"));
        bench.Replica.BeginInstall();
        bench.Replica.Install(RecordSpace.Data, StorageBench.Bytes("new"), StorageBench.Bytes("2"));
        bench.Get("old").Should().Be("1", "the old view counts until the commit");
        var position = new ViewPosition(new LogIndex(50), new Term(4), 7);
        bench.Replica.CommitInstall(position);
        bench.Loop.Submit();
        bench.Sink.Until(() => bench.Sink.Installed.ContainsKey(StorageBench.Shard), "installed");
        bench.Sink.Installed[StorageBench.Shard].Should().Be(position);
        bench.Replica.DurablePosition.Should().Be(position);
        bench.Get("old").Should().BeNull();
        bench.Get("new").Should().Be("2");
        bench.Put("later", "3");
        bench.Seal(51);
        bench.ScanAll().Select(record => record.Key).Should().Equal("later", "new");
        bench.CrashAndReopen();
        bench.Recovered.Position.Applied.Value.Should().BeGreaterThanOrEqualTo(50);
        bench.Get("old").Should().BeNull();
        bench.Get("new").Should().Be("2");
    }

    [Fact]
    public void A_load_that_was_asked_before_an_install_does_not_bring_back_the_old_view()
    {
        using var bench = Bench(options => options with { TableBytes = 0 });
        bench.Put("k", "old");
        bench.Seal(1);
        bench.Flush(1);
        bench.Sink.Until(() => Evicted(bench, "k"), "eviction");
        bench.Replica.BeginLoad(RecordSpace.Data, StorageBench.Bytes("k"), 999);
        bench.Replica.BeginInstall();
        bench.Replica.Install(RecordSpace.Data, StorageBench.Bytes("k"), StorageBench.Bytes("new"));
        bench.Replica.CommitInstall(new ViewPosition(new LogIndex(9), new Term(1), 0));
        bench.Get("k").Should().Be("new");
    }

    [Fact]
    public void Data_several_times_larger_than_the_table_is_served_with_loads()
    {
        const int keys = 4_000;
        using var bench = Bench(options => options with { TableBytes = 100_000, PreloadBytes = 10_000 });
        var value = new string('v', 100);
        for (var i = 0; i < keys; i++)
        {
            bench.Put($"key-{i}", value + i);
            if (i % 100 == 99)
            {
                bench.Seal((ulong)i);
                bench.Loop.Submit();
            }
        }

        bench.Seal(keys);
        bench.Flush(keys);
        bench.Sink.Until(() => Swept(bench) < 150_000, "the table to shrink");
        for (var i = 0; i < keys; i += 37)
        {
            bench.Get($"key-{i}").Should().Be(value + i);
            bench.Get($"none-{i}").Should().BeNull();
        }

        Swept(bench).Should().BeLessThan(150_000);
        bench.Reopen();
        bench.Get("key-77").Should().Be(value + 77);
        bench.Get("none").Should().BeNull();
    }

    [Fact]
    public void A_put_during_a_load_wins_over_what_the_disk_said()
    {
        using var bench = Bench(options => options with { TableBytes = 0 });
        bench.Put("k", "old");
        bench.Seal(1);
        bench.Flush(1);
        bench.Sink.Until(() => Evicted(bench, "k"), "eviction");
        bench.Replica.BeginLoad(RecordSpace.Data, StorageBench.Bytes("k"), 501);
        bench.Put("k", "new");
        bench.Sink.Until(() => bench.Sink.Loaded.Contains(501), "load");
        bench.Get("k").Should().Be("new");
    }

    [Fact]
    public void A_removed_shard_is_forgotten_and_may_begin_anew()
    {
        using var bench = Bench();
        bench.Sync(bench.Entry(1, "old life"));
        bench.Put("k", "old life");
        bench.Seal(1);
        bench.Flush(1);
        bench.Loop.RemoveReplica(StorageBench.Shard);
        var replica = bench.Loop.OpenReplica(StorageBench.Shard, out var recovered);
        recovered.Should().Be(RecoveredReplica.Empty);
        replica.Find(RecordSpace.Data, StorageBench.Bytes("k"), out _).Should().Be(RecordLookup.Absent);
        var position = replica.Append(LogRecordKind.Entry, new Term(1), new LogIndex(1), StorageBench.Bytes("new life"), SyncUrgency.Now);
        bench.Sync(position);
        bench.CrashAndReopen();
        bench.Recovered.Position.Should().Be(ViewPosition.Zero);
        bench.Recovered.Records.Should().ContainSingle().Which.Payload.ToArray().Should().Equal(StorageBench.Bytes("new life"));
        bench.Get("k").Should().BeNull();
    }

    [Fact]
    public void A_removed_shard_leaves_nothing_in_the_view_and_holds_no_segment_of_the_log()
    {
        using var bench = Bench(options => options with { SegmentBytes = 64 * 1024, RetainedLogBytes = 256 * 1024 });
        WriteKept(bench);
        FillOther(bench);
        bench.Node.Stats.RetainedLogBytes.Should().BeGreaterThan(16 * 64 * 1024, "nothing of it was released");
        KeysOf(bench, Other).Should().BePositive();
        bench.Loop.RemoveReplica(Other);
        bench.Loop.Submit();
        AwaitGone(bench);
        bench.CrashAndReopen();
        AssertOnlyKeptIsLeft(bench);
    }

    [Fact]
    public void A_shard_that_the_last_process_left_is_removed_without_being_opened()
    {
        using var bench = Bench(options => options with { SegmentBytes = 64 * 1024, RetainedLogBytes = 256 * 1024 });
        WriteKept(bench);
        FillOther(bench);
        bench.CrashAndReopen();
        bench.Node.RecoveredShards.Should().Equal(StorageBench.Shard, Other);
        bench.Replica.ReleaseLog(new LogIndex(1), 0);
        bench.Node.HoldsRecovered(Other).Should().BeTrue();
        bench.Node.WasRemoved(Other).Should().BeFalse();
        bench.Loop.RemoveRecovered(Other).Should().BeTrue();
        bench.Node.HoldsRecovered(Other).Should().BeFalse();
        bench.Node.WasRemoved(Other).Should().BeTrue();
        bench.Loop.RemoveRecovered(Other).Should().BeFalse("there is nothing left to remove");
        bench.Loop.Submit();
        AwaitGone(bench);
        bench.Reopen();
        AssertOnlyKeptIsLeft(bench);
    }

    [Fact]
    public void A_removal_that_a_crash_interrupts_is_there_or_can_be_repeated()
    {
        using var bench = Bench();
        WriteKept(bench);
        FillOther(bench);

        // Nothing of it had reached the log.
        bench.Loop.RemoveReplica(Other);
        bench.CrashAndReopen();
        bench.Node.RecoveredShards.Should().Equal(StorageBench.Shard, Other);
        bench.Node.WasRemoved(Other).Should().BeFalse();

        // The log knows, and the view need not: the start finishes it.
        bench.Loop.RemoveRecovered(Other).Should().BeTrue();
        bench.Sync(bench.Entry(2, "behind it"));
        bench.CrashAndReopen();
        bench.Node.WasRemoved(Other).Should().BeTrue("until the log is trimmed it is known that this shard must not begin again");
        AssertOnlyKeptIsLeft(bench);
        bench.CrashAndReopen();
        bench.Node.WasRemoved(Other).Should().BeTrue();
        AssertOnlyKeptIsLeft(bench);
    }

    [Fact]
    public void The_log_is_trimmed_behind_released_and_durable_records_and_keeps_the_last_hard_state()
    {
        using var bench = Bench(options => options with { SegmentBytes = 64 * 1024, RetainedLogBytes = 256 * 1024 });
        bench.Replica.Append(LogRecordKind.HardState, new Term(9), new LogIndex(0), StorageBench.Bytes("vote"), SyncUrgency.Now);
        var payload = new string('e', 8_000);
        for (ulong i = 1; i <= 200; i++)
        {
            bench.Sync(bench.Entry(i, payload));
            bench.Put("k", $"{i}");
            bench.Seal(i);
            bench.Replica.ReleaseLog(bench.Replica.DurablePosition.Applied, 0);
        }

        bench.Flush(200);
        bench.Replica.ReleaseLog(new LogIndex(198), 0);
        bench.Sync(bench.Entry(201, "last"));
        bench.Sink.Until(() => bench.Node.Stats.RetainedLogBytes <= 4 * 64 * 1024, "trimming");
        bench.CrashAndReopen();
        bench.Recovered.Records.Count(record => record.Kind == LogRecordKind.HardState).Should().BePositive();
        bench.Recovered.Records.First(record => record.Kind == LogRecordKind.HardState).Term.Should().Be(new Term(9));
        bench.Recovered.Records.Where(record => record.Kind == LogRecordKind.Entry).Select(record => record.Index.Value).Should().Contain([199, 200, 201]).And.NotContain(1);
        bench.Get("k").Should().Be("200");
    }

    [Fact]
    public void Everything_that_RocksDB_lends_is_given_back()
    {
        using (var bench = Bench())
        {
            bench.Put("a", "1");
            bench.Seal(1);
            bench.Replica.PinView();
            bench.Replica.PinView();
            bench.ScanAll();
            bench.Replica.BeginScan(new ScanRequest { Tag = 1, MaxRecords = 1, MaxBytes = 1 });
        }

        RocksViewStore.LiveOwners.Should().Be(0);
    }

    private static long Swept(StorageBench bench)
    {
        bench.Loop.Submit();
        return bench.Loop.TableBytes;
    }

    private static bool Evicted(StorageBench bench, string key)
    {
        bench.Loop.Submit();
        return bench.Replica.Find(RecordSpace.Data, StorageBench.Bytes(key), out _) == RecordLookup.NotResident;
    }

    private static void WriteKept(StorageBench bench)
    {
        bench.Sync(bench.Entry(1, "kept"));
        bench.Put("kept", "value");
        bench.Seal(1);
        bench.Flush(1);
        bench.Replica.ReleaseLog(new LogIndex(1), 0);
    }

    private static void FillOther(StorageBench bench)
    {
        const ulong Last = 200;
        var other = bench.Loop.OpenReplica(Other, out _);
        var payload = new byte[8_000];
        for (ulong i = 1; i <= Last; i++)
        {
            bench.Sync(other.Append(LogRecordKind.Entry, new Term(1), new LogIndex(i), payload, SyncUrgency.Now));
            other.Put(RecordSpace.Data, StorageBench.Bytes($"k{i}"), payload);
            other.Seal(new ViewPosition(new LogIndex(i), new Term(1), 0));
        }

        bench.Loop.Submit();
        bench.Sink.Until(() => Ask(bench, () => other.DurablePosition.Applied.Value == Last), "the other shard's view is durable");
    }

    private static bool Ask(StorageBench bench, Func<bool> holds)
    {
        bench.Node.RequestFlush();
        return holds();
    }

    private static void AwaitGone(StorageBench bench)
    {
        bench.Sink.Until(() => KeysOf(bench, Other) == 0, "the view of the removed shard is empty");
        bench.Sink.Until(() => Ask(bench, () => bench.Node.Stats.RetainedLogBytes <= 4 * 64 * 1024), "the removed shard's log is gone");
        bench.Get("kept").Should().Be("value");
    }

    private static void AssertOnlyKeptIsLeft(StorageBench bench)
    {
        bench.Node.RecoveredShards.Should().Equal(StorageBench.Shard);
        KeysOf(bench, Other).Should().Be(0);
        KeysOf(bench, StorageBench.Shard).Should().Be(2, "its marker and its record");
        bench.Get("kept").Should().Be("value");
    }

    private static int KeysOf(StorageBench bench, ShardId shard)
    {
        var count = 0;
        using var snapshot = bench.Node.Store.Snapshot();
        snapshot.Visit(ViewKeys.Marker(shard.Packed), ViewKeys.Prefix(shard.Packed + 1, 0), (_, _) => ++count > 0);
        return count;
    }
}

public sealed class RocksDbContractTests() : ReplicaStorageContractTests(StorageEngine.RocksDb);

public sealed class MemoryContractTests() : ReplicaStorageContractTests(StorageEngine.Memory);

using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Storage.Tests;

/// <summary>Scenarios 29, 30, 32 and 33 as far as storage goes: disks that fail or fill, and directories that are not ours.</summary>
public sealed class FailureTests
{
    [Fact]
    public void A_failed_sync_is_reported_once_and_never_tried_again()
    {
        using var bench = new StorageBench(StorageEngine.Memory);
        bench.Sync(bench.Entry(1, "durable"));
        bench.Disk.NextSyncError = new IOException("EIO");
        bench.Entry(2, "unknown");
        bench.Loop.Submit();
        bench.Sink.Until(() => bench.Sink.Failed is not null, "failure");
        bench.Sink.Failed!.Message.Should().Be("EIO");
        bench.Entry(3, "ignored");
        bench.Loop.Submit();
        bench.Node.Error.Should().BeSameAs(bench.Sink.Failed);
        bench.Sink.FailedEvents.Should().Be(1);
        bench.Sink.Durable.Should().Be(new LogPosition(1));
        bench.Node.Stats.UnsyncedBytes.Should().Be(0);
        bench.CrashAndReopen();
        bench.Recovered.Records.Should().ContainSingle();
        bench.Node.WasCleanShutdown.Should().BeFalse();
    }

    [Fact]
    public void A_failed_write_stops_the_log_too()
    {
        using var bench = new StorageBench(StorageEngine.Memory);
        bench.Disk.NextWriteError = new IOException("EIO");
        bench.Entry(1, "unknown");
        bench.Loop.Submit();
        bench.Sink.Until(() => bench.Sink.Failed is not null, "failure");
        bench.Put("k", "v");
        bench.Seal(1);
        bench.Loop.Submit();
        bench.Get("k").Should().Be("v", "reads from memory go on");
    }

    [Fact]
    public void Low_space_is_seen_before_the_disk_is_full_and_goes_away_with_it()
    {
        using var bench = new StorageBench(StorageEngine.Memory, options => options with { LowSpaceBytes = 1 << 20, Scheduler = new AgingScheduler() });
        bench.Node.IsDiskLow.Should().BeFalse();
        bench.Disk.CapacityBytes = 1 << 20;
        bench.Node.IsDiskLow.Should().BeTrue();
        bench.Disk.CapacityBytes = 1 << 24;
        bench.Node.IsDiskLow.Should().BeFalse();
    }

    [Fact]
    public void A_full_disk_fails_only_when_the_log_really_needs_space()
    {
        using var bench = new StorageBench(StorageEngine.Memory, options => options with { SegmentBytes = 64 * 1024 });
        bench.Disk.CapacityBytes = 100 * 1024;
        var payload = new string('x', 10_000);
        bench.Sync(bench.Entry(1, payload));
        bench.Sync(bench.Entry(2, payload));
        bench.Sync(bench.Entry(3, payload));
        bench.Sync(bench.Entry(4, payload));
        bench.Node.Error.Should().BeNull("a spare could not be prepared, and that is no failure yet");
        for (ulong i = 5; i < 10; i++)
        {
            bench.Entry(i, payload);
        }

        bench.Loop.Submit();
        bench.Sink.Until(() => bench.Sink.Failed is not null, "failure");
    }

    [Fact]
    public void Another_cluster_node_or_format_is_refused_with_one_sentence()
    {
        using var bench = new StorageBench(StorageEngine.RocksDb);
        bench.Node.Dispose();
        Opening(bench.Options with { ClusterId = "other" }).Should().Throw<StorageRefusedException>().WithMessage("*belongs to cluster 'bench', not to 'other'*");
        Opening(bench.Options with { NodeId = new NodeId(9) }).Should().Throw<StorageRefusedException>().WithMessage("*belongs to node n3, not to n9*");
        var stamp = Path.Combine(bench.DataDirectory, "log", "node.stamp");
        var bytes = File.ReadAllBytes(stamp);
        bytes[8]++;
        File.WriteAllBytes(stamp, bytes);
        Opening(bench.Options).Should().Throw<StorageRefusedException>().WithMessage("*format version 3, and this program knows version 2*");
        bytes[8]--;
        File.WriteAllBytes(stamp, bytes);
        bench.Open();
        bench.Node.WasCleanShutdown.Should().BeTrue();
    }

    [Fact]
    public void A_directory_in_use_is_refused()
    {
        using var bench = new StorageBench(StorageEngine.RocksDb);
        Opening(bench.Options).Should().Throw<StorageRefusedException>().WithMessage("*in use by another process*");
    }

    [Fact]
    public void A_damaged_table_file_stops_the_node_and_never_yields_wrong_bytes()
    {
        using var bench = new StorageBench(StorageEngine.RocksDb, options => options with { PreloadBytes = 0 });
        var random = new Random(4);
        for (var i = 0; i < 200; i++)
        {
            var value = new byte[300];
            random.NextBytes(value);
            bench.Replica.Put(RecordSpace.Data, StorageBench.Bytes($"k{i}"), value);
        }

        bench.Seal(1);
        bench.Node.Dispose();
        var file = Directory.GetFiles(Path.Combine(bench.DataDirectory, "view"), "*.sst").Single();
        var bytes = File.ReadAllBytes(file);
        for (var i = bytes.Length * 4 / 10; i < bytes.Length * 6 / 10; i += 50)
        {
            bytes[i] ^= 0x10;
        }

        File.WriteAllBytes(file, bytes);
        bench.Open();
        bench.Replica.BeginLoad(RecordSpace.Data, StorageBench.Bytes("k190"), 1);
        bench.Loop.Submit();
        bench.Sink.Until(() => bench.Sink.Failed is not null, "failure of the load");
        bench.Replica.Find(RecordSpace.Data, StorageBench.Bytes("k190"), out _).Should().Be(RecordLookup.NotResident);
        bench.Node.Abandon();
        bench.Open();
        bench.Replica.BeginScan(new ScanRequest { Tag = 5, MaxRecords = 1000, MaxBytes = 1 << 20 });
        bench.Sink.Until(() => bench.Sink.Failed is not null, "failure of the scan");
        bench.Sink.Pages.Should().BeEmpty();
    }

    private static Action Opening(StorageOptions options) => () => NodeStorage.Open(options);

    /// <summary>A scheduler whose clock runs two seconds with every look.</summary>
    private sealed class AgingScheduler : StorageScheduler
    {
        public override TimeProvider Time { get; } = new Clock();

        public override void Queue(IThreadPoolWorkItem work) => ThreadPool.Queue(work);

        public override void QueueAfter(TimeSpan delay, IThreadPoolWorkItem work) => ThreadPool.QueueAfter(delay, work);

        private sealed class Clock : TimeProvider
        {
            private long _now = 1;

            public override long TimestampFrequency => 1;

            public override long GetTimestamp() => Interlocked.Add(ref _now, 2);
        }
    }
}

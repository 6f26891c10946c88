using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Storage.Log;
using Xunit;

namespace KvStore.Storage.Tests;

/// <summary>Scenarios 25, 26 and 34: what recovery makes of torn tails, flipped bits and missing files.</summary>
public sealed class LogDamageTests
{
    private const int HeaderSignedBytes = 60;
    private const int FirstRecord = SegmentHeader.PageBytes;
    private static readonly ShardId Shard = new(1, 0);

    [Fact]
    public void A_flipped_bit_anywhere_in_a_synced_log_is_refused_or_harmless()
    {
        var disk = WriteLog(records: 6, payloadBytes: 20);
        var end = EndOf(disk);
        for (var offset = 0; offset < end; offset++)
        {
            var damaged = disk.Clone();
            damaged.FlipBit(SegmentHeader.NameOf(1), offset, offset % 8);
            var recovered = TryRecover(damaged);

            // The writer was idle, so a mark stands behind the last record; only damage to that mark itself looks like a torn write, and loses nothing. The rest of the header's page is unused.
            var isUnused = offset is >= HeaderSignedBytes and < SegmentHeader.PageBytes;
            if (isUnused || offset >= end - LogFormat.HeaderBytes)
            {
                recovered.Should().Equal(Expected(6), $"nothing was lost by the flip at {offset}");
            }
            else
            {
                recovered.Should().BeNull($"the flip at {offset} damages what was durable");
            }
        }
    }

    [Fact]
    public void Damage_to_the_last_batch_before_its_mark_is_cut_off_and_loses_no_earlier_record()
    {
        var disk = WriteLog(records: 6, payloadBytes: 20, forgetUnsynced: true);
        var end = EndOf(disk);
        var lastBatch = end - LogFormat.HeaderBytes - LogFormat.TotalBytes(20);
        for (var offset = FirstRecord; offset < end; offset++)
        {
            var damaged = disk.Clone();
            damaged.FlipBit(SegmentHeader.NameOf(1), offset, 3);
            var recovered = TryRecover(damaged);
            if (offset < lastBatch)
            {
                recovered.Should().BeNull($"the flip at {offset} damages what was durable");
            }
            else
            {
                recovered.Should().Equal(Expected(5), $"only the last batch may be taken for torn at {offset}");
            }
        }
    }

    [Fact]
    public void A_last_batch_that_recovery_has_accepted_once_is_never_taken_for_torn_again()
    {
        var disk = WriteLog(records: 6, payloadBytes: 20, forgetUnsynced: true);
        var end = EndOf(disk);
        var lastBatch = end - LogFormat.HeaderBytes - LogFormat.TotalBytes(20);
        TryRecover(disk).Should().Equal(Expected(6));
        disk.Crash();
        for (var offset = lastBatch; offset < end; offset++)
        {
            var damaged = disk.Clone();
            damaged.FlipBit(SegmentHeader.NameOf(1), offset, 3);
            TryRecover(damaged).Should().BeNull($"the flip at {offset} damages what the first start had promised to keep");
        }
    }

    [Fact]
    public void What_a_start_found_unsynced_after_a_kill_survives_a_power_loss_from_then_on()
    {
        // Its last sync failed, so that batch 6 is in the kernel's memory only; the process is killed, the power stays.
        var disk = WriteLog(records: 6, payloadBytes: 20, failLastSync: true);
        var lost = disk.Clone();
        lost.Crash();
        TryRecover(lost).Should().Equal(Expected(5), "nobody has synced it");

        disk.Kill();
        TryRecover(disk).Should().Equal(Expected(6), "it is there, and counts as durable: votes and acknowledgements go out for it");
        disk.Crash();
        TryRecover(disk).Should().Equal(Expected(6));
    }

    [Fact]
    public void A_flipped_bit_in_a_segment_before_the_last_is_always_refused()
    {
        var disk = WriteLog(records: 40, payloadBytes: 5_000);
        disk.List().Count(name => SegmentHeader.TryParseName(name, out _)).Should().BeGreaterThan(2);
        var random = new Random(12);
        var header = new byte[SegmentHeader.PageBytes];
        disk.Open(SegmentHeader.NameOf(3)).Read(0, header);
        var tail = SegmentHeader.Read(header, "", LogIdentity.Of("c", new NodeId(1)), 3).PreviousTail;
        for (var i = 0; i < 300; i++)
        {
            var damaged = disk.Clone();
            damaged.FlipBit(SegmentHeader.NameOf(2), random.NextInt64(FirstRecord, tail), random.Next(8));
            TryRecover(damaged).Should().BeNull();
        }
    }

    [Fact]
    public void A_refusal_changes_nothing()
    {
        var disk = WriteLog(records: 6, payloadBytes: 20);
        disk.FlipBit(SegmentHeader.NameOf(1), FirstRecord + 100, 1);
        var before = Contents(disk);
        TryRecover(disk).Should().BeNull();
        Contents(disk).Should().BeEquivalentTo(before);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void A_missing_segment_is_refused(int missing)
    {
        var disk = WriteLog(records: 45, payloadBytes: 5_000);
        SegmentsOf(disk).Should().HaveCount(4);
        disk.Delete(SegmentHeader.NameOf((ulong)missing));
        var open = () => NodeStorage.Open(Options(disk));
        open.Should().Throw<LogCorruptException>().WithMessage("*file is missing*restore the file*");
    }

    [Fact]
    public void A_log_without_its_stamp_is_refused()
    {
        var disk = WriteLog(records: 2, payloadBytes: 20);
        disk.Delete("node.stamp");
        var open = () => NodeStorage.Open(Options(disk));
        open.Should().Throw<StorageRefusedException>();
    }

    [Fact]
    public void A_flipped_bit_in_the_stamp_is_refused()
    {
        var disk = WriteLog(records: 2, payloadBytes: 20);
        var length = disk.Open("node.stamp").Length;
        for (var offset = 0; offset < length; offset++)
        {
            var damaged = disk.Clone();
            damaged.FlipBit("node.stamp", offset, 2);
            var open = () => NodeStorage.Open(Options(damaged));
            open.Should().Throw<StorageRefusedException>();
        }
    }

    [Fact]
    public void Records_behind_a_torn_tail_that_was_cut_off_never_come_back()
    {
        var disk = WriteLog(records: 6, payloadBytes: 20, forgetUnsynced: true);
        var end = EndOf(disk);
        disk.FlipBit(SegmentHeader.NameOf(1), end - LogFormat.HeaderBytes - LogFormat.TotalBytes(20), 0);
        TryRecover(disk).Should().Equal(Expected(5));
        TryRecover(disk).Should().Equal(Expected(5));
    }

    private static StorageOptions Options(SimulatedDisk disk) => new()
    {
        ClusterId = "c",
        NodeId = new NodeId(1),
        Engine = StorageEngine.Memory,
        Disk = disk,
        SegmentBytes = 64 * 1024,
        Scheduler = new StepScheduler(),
    };

    private static SimulatedDisk WriteLog(int records, int payloadBytes, bool forgetUnsynced = false, bool failLastSync = false)
    {
        var disk = new SimulatedDisk();
        var options = Options(disk);
        var scheduler = (StepScheduler)options.Scheduler;
        var random = new Random(1);
        var node = NodeStorage.Open(options);
        var loop = node.CreateLoop(new RecordingSink());
        var replica = loop.OpenReplica(Shard, out _);
        for (var i = 1; i <= records; i++)
        {
            replica.Append(LogRecordKind.Entry, new Term(1), new LogIndex((ulong)i), Payload(i, payloadBytes), SyncUrgency.Now);
            loop.Submit();
            disk.NextSyncError = failLastSync && i == records ? new IOException("The disk does not answer.") : null;
            scheduler.RunAll(random);
        }

        node.Abandon();
        if (forgetUnsynced)
        {
            disk.Crash();
        }

        return disk;
    }

    private static byte[] Payload(int index, int bytes)
    {
        var payload = new byte[bytes];
        new Random(index).NextBytes(payload);
        return payload;
    }

    private static IEnumerable<ulong> Expected(int records) => Enumerable.Range(1, records).Select(i => (ulong)i);

    /// <summary>The indexes found, or null if the log was refused. Payloads are checked.</summary>
    private static List<ulong>? TryRecover(SimulatedDisk disk)
    {
        NodeStorage node;
        try
        {
            node = NodeStorage.Open(Options(disk));
        }
        catch (LogCorruptException)
        {
            return null;
        }

        node.CreateLoop(new RecordingSink()).OpenReplica(Shard, out var recovered);
        node.Abandon();
        foreach (var record in recovered.Records)
        {
            record.Payload.ToArray().Should().Equal(Payload((int)record.Index.Value, record.Payload.Length));
        }

        return [.. recovered.Records.Select(record => record.Index.Value)];
    }

    private static List<string> SegmentsOf(SimulatedDisk disk) => [.. disk.List().Where(name => SegmentHeader.TryParseName(name, out _))];

    private static int EndOf(SimulatedDisk disk)
    {
        var file = disk.Open(SegmentHeader.NameOf(1));
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        var last = bytes.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
        return (last + LogFormat.Alignment - 1) & ~(LogFormat.Alignment - 1);
    }

    private static Dictionary<string, byte[]> Contents(SimulatedDisk disk) => disk.List().ToDictionary(name => name, name =>
    {
        var file = disk.Open(name);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    });
}

using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Scenarios;
using KvStore.Storage;

namespace KvStore.Simulator.Nodes;

/// <summary>A node's disk over all its starts, and what can happen to it. What is damaged can be put right again, as an operator would with a good copy.</summary>
internal sealed class NodeDisk(ScenarioSettings settings, Timeline timeline, Random random, NodeId node)
{
    private const string Segments = "log-";
    private const int LowBytes = 160 * 1024;

    private readonly List<Action> _repairs = [];
    private SimulatedDisk _disk = new();
    private SimulatedDisk? _backup;
    private bool _isViewDamaged;

    /// <summary>Bytes were flipped or files taken away: the node must refuse to start rather than go on without them.</summary>
    public bool IsDamaged => _repairs.Count > 0 || _isViewDamaged;

    public VirtualScheduler Scheduler { get; private set; } = new(timeline, random);

    public int SlownessUs { get; set; }

    /// <summary>Opens the storage as the node's process does.</summary>
    public NodeStorage Open()
    {
        Scheduler = new VirtualScheduler(timeline, random) { SlownessUs = SlownessUs };
        return NodeStorage.Open(new StorageOptions
        {
            ClusterId = "simulated",
            NodeId = node,
            Engine = StorageEngine.Memory,
            Disk = _disk,
            SegmentBytes = 64 * 1024,
            RetainedLogBytes = settings.RetainedLogBytes,
            TableBytes = settings.TableBytes,
            PreloadBytes = settings.PreloadBytes,
            LowSpaceBytes = LowBytes,
            Scheduler = Scheduler,
        });
    }

    /// <summary>The process dies. With the power, what was not synced goes as well, each sector as chance has it.</summary>
    public void Crash(bool power)
    {
        Scheduler.IsDead = true;
        if (power)
        {
            _disk.Crash(random);
        }
        else
        {
            _disk.Kill();
        }

        _disk.NextSyncError = null;
        _disk.NextWriteError = null;
    }

    /// <summary>Nothing happens on the disk for a while.</summary>
    public void Stall(long us) => Scheduler.StalledUntilUs = Math.Max(Scheduler.StalledUntilUs, timeline.NowUs + us);

    /// <summary>From now on each write and sync takes this long.</summary>
    public void Slow(int us)
    {
        SlownessUs = us;
        Scheduler.SlownessUs = us;
    }

    /// <summary>The next sync fails.</summary>
    public void FailSync() => _disk.NextSyncError = new IOException("The simulated disk gave up.");

    /// <summary>The next write fails.</summary>
    public void FailWrite() => _disk.NextWriteError = new IOException("The simulated disk gave up.");

    /// <summary>Somebody else fills the disk up to so many free bytes.</summary>
    public void Fill(long freeBytes) => _disk.CapacityBytes = _disk.UsedBytes + freeBytes;

    /// <summary>Room for puts no more, while the node can go on.</summary>
    public void FillNearly() => Fill(LowBytes - 1);

    public void MakeRoom() => _disk.CapacityBytes = long.MaxValue;

    /// <summary>A bit of the log changes on the disk. Returns false if there is no log yet.</summary>
    public bool FlipLogBit(Random by)
    {
        if (PickSegment(by) is not { } name)
        {
            return false;
        }

        long offset = by.NextInt64(_disk.WrittenBytes(name));
        int bit = by.Next(8);
        _disk.FlipBit(name, offset, bit);
        _repairs.Add(() => _disk.FlipBit(name, offset, bit));
        return true;
    }

    /// <summary>A record of the view can't be read any more. Returns false if the view is empty.</summary>
    public bool DamageView(Random by)
    {
        if (!_disk.DamageView(by))
        {
            return false;
        }

        _isViewDamaged = true;
        return true;
    }

    /// <summary>A file of the log is gone. Returns false if there is none.</summary>
    public bool LoseSegment(Random by)
    {
        if (PickSegment(by) is not { } name)
        {
            return false;
        }

        object file = _disk.TakeOut(name);
        _repairs.Add(() => _disk.PutBack(name, file));
        return true;
    }

    /// <summary>The disk is replaced by an empty one.</summary>
    public void Wipe()
    {
        _disk = new SimulatedDisk();
        _repairs.Clear();
        _isViewDamaged = false;
    }

    public void TakeBackup() => _backup = _disk.CloneWithView();

    /// <summary>The disk is as it was at the backup. Returns false without one.</summary>
    public bool RestoreBackup()
    {
        if (_backup is null)
        {
            return false;
        }

        _disk = _backup;
        _backup = null;
        _repairs.Clear();
        _isViewDamaged = false;
        return true;
    }

    /// <summary>The node has started on what it found, so nothing that it needs was damaged in the log, and what was is overwritten.</summary>
    public void ForgetDamage() => _repairs.Clear();

    /// <summary>Everything is put right again that was damaged, in the reverse order.</summary>
    public void Repair()
    {
        for (int i = _repairs.Count - 1; i >= 0; i--)
        {
            _repairs[i]();
        }

        _repairs.Clear();
        _disk.RepairView();
        _isViewDamaged = false;
    }

    /// <summary>What passes of itself has passed.</summary>
    public void Calm()
    {
        _disk.NextSyncError = null;
        _disk.NextWriteError = null;
        MakeRoom();
        Slow(0);
        Scheduler.StalledUntilUs = 0;
    }

    private string? PickSegment(Random by)
    {
        List<string> names = [.. _disk.List().Where(name => name.StartsWith(Segments, StringComparison.Ordinal))];
        return names.Count == 0 ? null : names[by.Next(names.Count)];
    }
}

using KvStore.Node.Loops;
using KvStore.Storage;

namespace KvStore.Node.Hosting;

/// <summary>
/// Tells whether this node does its work: every loop makes steps (it is ticked at least once a second, however idle), and what was handed to the disk becomes durable. A node that doesn't goes quiet, so that its
/// peers turn to others. Asked by one thread.
/// </summary>
internal sealed class NodePulse(LoopSet loops, NodeStorage storage)
{
    /// <summary>A disk that makes nothing durable for this long does not live. Well above a bad moment of a busy machine.</summary>
    private const long SilenceMs = 2_000;

    /// <summary>The same for loops, which stand still between two ticks of the coarse clock.</summary>
    private const long LoopSilenceMs = LoopSet.CoarseMs + 1_500;

    private readonly long[] _steps = new long[loops.Count];
    private readonly long[] _progressMs = [.. Enumerable.Repeat(Environment.TickCount64, loops.Count)];
    private long _syncs;
    private long _syncedMs = Environment.TickCount64;

    public bool IsAlive()
    {
        long nowMs = Environment.TickCount64;
        for (int i = 0; i < _steps.Length; i++)
        {
            long steps = loops.Loops[i].Steps;
            if (steps != _steps[i])
            {
                _steps[i] = steps;
                _progressMs[i] = nowMs;
            }
            else if (nowMs - _progressMs[i] > LoopSilenceMs)
            {
                return false;
            }
        }

        StorageStats stats = storage.Stats;
        if (stats.Syncs != _syncs || stats.UnsyncedBytes == 0)
        {
            _syncs = stats.Syncs;
            _syncedMs = nowMs;
        }

        return nowMs - _syncedMs <= SilenceMs && storage.Error is null;
    }
}

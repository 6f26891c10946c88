using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Nodes;

/// <summary>
/// A node's clocks: one that only goes forward, at a rate that may be wrong and from a start that means nothing, and one on the wall that anybody may set.
/// </summary>
internal sealed class NodeClock(Timeline timeline)
{
    private const long EpochMs = 1_700_000_000_000;

    private double _localUs;
    private long _sinceUs;
    private double _rate = 1;

    /// <summary>Local seconds in a true second.</summary>
    public double Rate
    {
        get => _rate;
        set
        {
            _localUs = LocalUs;
            _sinceUs = timeline.NowUs;
            _rate = value;
        }
    }

    /// <summary>Milliseconds by which the clock on the wall is wrong.</summary>
    public long WallSkewMs { get; set; }

    public long NowMs => (long)(LocalUs / 1_000);

    /// <summary>What a replica is told.</summary>
    public ReplicaClock Replica { get; private set; } = new();

    private double LocalUs => _localUs + ((timeline.NowUs - _sinceUs) * _rate);

    /// <summary>The process starts: its monotonic clock begins anywhere.</summary>
    public void Restart(Random random)
    {
        Replica = new ReplicaClock();
        _sinceUs = timeline.NowUs;
        _localUs = random.Next(1, 1_000_000_000);
        Set();
    }

    public void Set() => Replica.Set(NowMs, (ulong)(EpochMs + timeline.NowMs + WallSkewMs));

    /// <summary>The true time that this node takes for so much of its own.</summary>
    public long TrueUs(long localUs) => (long)(localUs / _rate);

    /// <summary>A moment of true time as this clock would show it.</summary>
    public long ToLocalMs(long trueMs) => trueMs == 0 ? 0 : NowMs + (trueMs - timeline.NowMs);
}

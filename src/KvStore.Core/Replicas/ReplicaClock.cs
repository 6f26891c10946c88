using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The time that the loop hands to the replicas it owns: set once per step, so that all work of a step happens at one instant. Core never reads a clock.
/// </summary>
public sealed class ReplicaClock
{
    /// <summary>Monotonic milliseconds; only differences mean anything.</summary>
    public long NowMs { get; private set; }

    /// <summary>The node's wall clock, Unix milliseconds. May jump; used for timestamps only.</summary>
    public ulong WallMs { get; private set; }

    /// <summary>How far the node's wall clock is ahead of the cluster's, as its heartbeats measure it, in milliseconds; negative: behind. Zero while nobody is heard.</summary>
    public long OffsetMs { get; set; }

    /// <summary>The hybrid clock of this loop.</summary>
    public HybridClock Hybrid { get; } = new();

    public void Set(long nowMs, ulong wallMs)
    {
        NowMs = Math.Max(NowMs, nowMs);
        WallMs = wallMs;
    }
}

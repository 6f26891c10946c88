using KvStore.Node.Loops;
using KvStore.Node.Peers;

namespace KvStore.Node.Hosting;

/// <summary>Tells the loops after each round of heartbeats how far this node's wall clock is off, and says so when that begins to matter. On the heartbeat thread.</summary>
internal sealed class ClockWatch(LoopSet loops, ILogger<ClockWatch> log)
{
    private bool _off;

    public void OnJudged(PeerView view)
    {
        long offsetMs = (long)Math.Round(ClockOffset.OfThisNode(view));
        loops.ClockOffsetMs = offsetMs;
        NodeMetrics.OnClocks(view);
        bool off = Math.Abs(offsetMs) > loops.ReplicaOptions.MaxClockDriftMs;
        if (off != _off)
        {
            _off = off;
            if (off)
            {
                PeerLog.ClockOff(log, offsetMs, loops.ReplicaOptions.MaxClockDriftMs);
            }
            else
            {
                PeerLog.ClockRight(log, offsetMs);
            }
        }
    }
}

using System.Text;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Which peers of a shard the node can reach at the moment, as its failure detector says. Feeds the policy; of the consensus it may suppress the elections of a quiet group, and wake it, no more.
/// </summary>
internal sealed class PeerReachability(ShardDescriptor descriptor)
{
    private readonly bool[] _down = new bool[descriptor.Peers.Length];
    private readonly long[] _sinceMs = new long[descriptor.Peers.Length];
    private readonly ulong[] _boots = new ulong[descriptor.Peers.Length];

    /// <summary>Replicas that can be reached, this one included.</summary>
    public int Reachable { get; private set; } = descriptor.Places.Length;

    public int Configured { get; } = descriptor.Places.Length;

    public bool IsReachable(NodeId node)
    {
        int at = IndexOf(node);
        return at < 0 || !_down[at];
    }

    /// <summary>Whether the detector has said that the node is up and which of its lives this is. Without that, nobody goes to sleep relying on it.</summary>
    public bool IsKnownUp(NodeId node)
    {
        int at = IndexOf(node);
        return at >= 0 && !_down[at] && _boots[at] != 0;
    }

    /// <summary>Whether <see cref="IsKnownUp"/> holds for all peers.</summary>
    public bool AllKnownUp
    {
        get
        {
            bool all = Reachable == Configured;
            foreach (ulong boot in _boots)
            {
                all &= boot != 0;
            }

            return all;
        }
    }

    /// <summary>Takes note of which life of the node the detector hears. Returns whether it is another one than before.</summary>
    public bool SetBoot(NodeId node, ulong boot)
    {
        int at = IndexOf(node);
        if (at < 0 || _boots[at] == boot)
        {
            return false;
        }

        _boots[at] = boot;
        return true;
    }

    /// <summary>Takes note of the detector's verdict. Returns whether it is news for this shard.</summary>
    public bool Set(NodeId node, bool reachable, long nowMs)
    {
        int at = IndexOf(node);
        if (at < 0 || _down[at] == !reachable)
        {
            return false;
        }

        _down[at] = !reachable;
        _sinceMs[at] = nowMs;
        Reachable += reachable ? 1 : -1;
        return true;
    }

    /// <summary>How long the longest missing peer has been missing; zero when none is. What it wrote since then is not here.</summary>
    public uint LongestSilenceMs(long nowMs)
    {
        long longest = 0;
        for (int i = 0; i < _down.Length; i++)
        {
            longest = Math.Max(longest, _down[i] ? nowMs - _sinceMs[i] : 0);
        }

        return (uint)Math.Min(longest, uint.MaxValue);
    }

    /// <summary>For people: who is missing and since when.</summary>
    public string DescribeMissing(long nowMs)
    {
        var text = new StringBuilder();
        for (int i = 0; i < _down.Length; i++)
        {
            if (_down[i])
            {
                text.Append(text.Length == 0 ? "" : ", ").Append(descriptor.Peers[i].Node)
                    .Append(" for ").Append(((nowMs - _sinceMs[i]) / 1000.0).ToString("0.0", System.Globalization.CultureInfo.InvariantCulture)).Append(" s");
            }
        }

        return text.Length == 0 ? "none" : text.ToString();
    }

    private int IndexOf(NodeId node)
    {
        for (int i = 0; i < descriptor.Peers.Length; i++)
        {
            if (descriptor.Peers[i].Node == node)
            {
                return i;
            }
        }

        return -1;
    }
}

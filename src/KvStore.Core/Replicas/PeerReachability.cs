using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>
/// Which peers of a shard the node can reach at the moment, as its failure detector says. Feeds the policy; of the consensus it may suppress the elections of a quiet group, and wake it, no more.
/// </summary>
internal sealed class PeerReachability
{
    private readonly ReplicaPlaces _places;
    private readonly Dictionary<NodeId, long> _downSinceMs = [];
    private readonly Dictionary<NodeId, ulong> _boots = [];

    public PeerReachability(ReplicaPlaces places)
    {
        _places = places;
        OnMembersChanged();
    }

    /// <summary>Voters that can be reached, this one included. In a joint change: of the set that is worse off.</summary>
    public int Reachable { get; private set; }

    public int Configured { get; private set; }

    public bool HasMajority => Reachable >= PartitionPolicy.Majority(Configured);

    /// <summary>Whether <see cref="IsKnownUp"/> holds for all peers, learners included.</summary>
    public bool AllKnownUp
    {
        get
        {
            foreach (NodeId peer in _places.Peers)
            {
                if (!IsKnownUp(peer))
                {
                    return false;
                }
            }

            return true;
        }
    }

    public bool IsReachable(NodeId node) => !_downSinceMs.ContainsKey(node);

    /// <summary>Whether all voters that can be reached are among these peers.</summary>
    /// <param name="peers">Bits of <see cref="ReplicaPlaces.BitOf"/>.</param>
    public bool HaveAllReachableVoters(ulong peers)
    {
        for (int i = 0; i < _places.Peers.Length; i++)
        {
            if ((peers & ReplicaPlaces.BitOf(i)) == 0 && _places.Votes(i) && IsReachable(_places.Peers[i]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether the detector has said that the node is up and which of its lives this is. Without that, nobody goes to sleep relying on it.</summary>
    public bool IsKnownUp(NodeId node) => !_downSinceMs.ContainsKey(node) && _boots.GetValueOrDefault(node) != 0;

    /// <summary>Takes note of which life of the node the detector hears. Returns whether it is another one than before.</summary>
    public bool SetBoot(NodeId node, ulong boot)
    {
        if (_boots.GetValueOrDefault(node) == boot)
        {
            return false;
        }

        _boots[node] = boot;
        return true;
    }

    /// <summary>Takes note of the detector's verdict. Returns whether it is news for this shard.</summary>
    public bool Set(NodeId node, bool reachable, long nowMs)
    {
        bool news = reachable ? _downSinceMs.Remove(node) : _downSinceMs.TryAdd(node, nowMs);
        if (!news || _places.PeerIndexOf(node) < 0)
        {
            return false;
        }

        OnMembersChanged();
        return true;
    }

    /// <summary>Counts anew.</summary>
    public void OnMembersChanged()
    {
        (Reachable, Configured) = Count(_places.Members.Config.Voters);
        if (_places.Members.Config.IsJoint)
        {
            (int reachable, int configured) = Count(_places.Members.Config.OutgoingVoters);
            if (reachable - PartitionPolicy.Majority(configured) < Reachable - PartitionPolicy.Majority(Configured))
            {
                (Reachable, Configured) = (reachable, configured);
            }
        }
    }

    /// <summary>Who is missing and since when. For refusals.</summary>
    public IReadOnlyList<MissingReplica> Missing(long nowMs)
    {
        var missing = new List<MissingReplica>();
        foreach (NodeId peer in _places.Peers)
        {
            if (_downSinceMs.TryGetValue(peer, out long sinceMs))
            {
                missing.Add(new MissingReplica(peer, nowMs - sinceMs));
            }
        }

        return missing;
    }

    /// <summary>The same for people.</summary>
    public string DescribeMissing(long nowMs)
    {
        var text = new StringBuilder();
        foreach (MissingReplica missing in Missing(nowMs))
        {
            text.Append(text.Length == 0 ? "" : ", ").Append(missing.Node)
                .Append(" for ").Append((missing.ForMs / 1000.0).ToString("0.0", System.Globalization.CultureInfo.InvariantCulture)).Append(" s");
        }

        return text.Length == 0 ? "none" : text.ToString();
    }

    private (int Reachable, int Configured) Count(System.Collections.Immutable.ImmutableArray<ReplicaId> voters)
    {
        int reachable = 0;
        foreach (ReplicaId voter in voters)
        {
            // An earlier id of this very node is gone, however well the node can reach itself.
            NodeId node = _places.Members.NodeOf(voter);
            reachable += voter == _places.Self.Replica || (node != _places.Self.Node && IsReachable(node)) ? 1 : 0;
        }

        return (reachable, voters.Length);
    }
}

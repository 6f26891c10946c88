using System.Collections.Immutable;
using System.Numerics;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>
/// Who this shard's replicas are at the moment, for all parts of one replica: holds the applied <see cref="ShardMembers"/>, swapped whole, and the places of those that the log or a message has named
/// but no applied configuration yet. A replica that lags must answer a leader it has never heard of.
/// </summary>
internal sealed class ReplicaPlaces
{
    /// <summary>Bounds the places that are known from messages only.</summary>
    private const int MaxHeard = 64;

    private readonly Dictionary<ReplicaId, NodeId> _heard = [];
    private readonly ShardDescriptor _descriptor;
    private ulong _voters;
    private ulong _outgoing;
    private bool _toldRemoved;

    public ReplicaPlaces(ShardDescriptor descriptor)
    {
        _descriptor = descriptor;
        Members = ShardMembers.Founding(descriptor.Founders);
        Swap(Members);
    }

    public ReplicaPlace Self => _descriptor.Self;

    public ShardMembers Members { get; private set; }

    /// <summary>The other nodes with a replica of the shard, voters or not, by the order of their replicas' ids.</summary>
    public ImmutableArray<NodeId> Peers { get; private set; } = [];

    /// <summary>Whether the applied configuration knows this replica. One that joins is not known yet; one that was removed no more.</summary>
    public bool IsMember => Members.Config.IsMember(Self.Replica);

    /// <summary>This replica was removed for good: its id is never used again.</summary>
    public bool IsRemoved => _toldRemoved || Members.Retired.Contains(Self.Replica);

    /// <summary>The configuration that counts was applied, or came with a snapshot.</summary>
    public void Set(ShardMembers members)
    {
        Swap(members);
        foreach (ReplicaPlace place in members.Places)
        {
            _heard.Remove(place.Replica);
        }

        foreach (ReplicaId retired in members.Retired)
        {
            _heard.Remove(retired);
        }
    }

    public void NoteRemoved() => _toldRemoved = true;

    /// <summary>None: nobody has said where it lives, or it was removed.</summary>
    public NodeId NodeOf(ReplicaId replica)
    {
        NodeId node = Members.NodeOf(replica);
        return node.IsNone && _heard.TryGetValue(replica, out NodeId heard) ? heard : node;
    }

    /// <summary>A message or an entry that is not applied yet says where a replica lives. Returns false when that can't be true: the replica was removed, or lives elsewhere.</summary>
    public bool TryHear(ReplicaId replica, NodeId node)
    {
        NodeId known = Members.NodeOf(replica);
        if (!known.IsNone)
        {
            return known == node;
        }

        if (Members.Retired.Contains(replica))
        {
            return false;
        }

        if (_heard.Count >= MaxHeard && !_heard.ContainsKey(replica))
        {
            _heard.Clear();
        }

        _heard[replica] = node;
        return true;
    }

    /// <summary>An entry that may be applied one day says so.</summary>
    public void Hear(ReadOnlyMemory<byte> context)
    {
        if (context.IsEmpty)
        {
            return;
        }

        foreach (ReplicaPlace place in MembersCodec.DecodePlaces(context))
        {
            TryHear(place.Replica, place.Node);
        }
    }

    public int PeerIndexOf(NodeId node) => Peers.IndexOf(node);

    /// <summary>This node's place in masks of nodes; the peer at index i has the bit i + 1.</summary>
    public static ulong SelfBit => 1;

    public static ulong BitOf(int peer) => 2UL << peer;

    /// <summary>Whether these nodes are a majority of the voters; during a joint change, of both sets.</summary>
    public bool IsMajority(ulong nodes) => IsMajorityOf(_voters, nodes) && (_outgoing == 0 || IsMajorityOf(_outgoing, nodes));

    public bool Votes(int peer) => ((_voters | _outgoing) & BitOf(peer)) != 0;

    public ulong MaskOf(List<NodeId> nodes)
    {
        ulong mask = 0;
        foreach (NodeId node in nodes)
        {
            int peer = PeerIndexOf(node);
            mask |= node == Self.Node ? SelfBit : peer >= 0 ? BitOf(peer) : 0;
        }

        return mask;
    }

    /// <summary>A mask over an earlier list of peers, said over the present one.</summary>
    public ulong Translate(ImmutableArray<NodeId> earlierPeers, ulong mask)
    {
        ulong translated = mask & SelfBit;
        for (int i = 0; i < earlierPeers.Length; i++)
        {
            int now = (mask & BitOf(i)) != 0 ? PeerIndexOf(earlierPeers[i]) : -1;
            translated |= now < 0 ? 0 : BitOf(now);
        }

        return translated;
    }

    private static bool IsMajorityOf(ulong voters, ulong nodes) => BitOperations.PopCount(voters & nodes) >= PartitionPolicy.Majority(BitOperations.PopCount(voters));

    private void Swap(ShardMembers members)
    {
        Members = members;
        Peers = [.. members.Places.Select(place => place.Node).Where(node => node != Self.Node).Distinct()];
        _voters = MaskOf(members.Config.Voters);
        _outgoing = MaskOf(members.Config.OutgoingVoters);
    }

    private ulong MaskOf(ImmutableArray<ReplicaId> replicas)
    {
        ulong mask = 0;
        foreach (ReplicaId replica in replicas)
        {
            int peer = PeerIndexOf(Members.NodeOf(replica));
            mask |= replica == Self.Replica ? SelfBit : peer >= 0 ? BitOf(peer) : 0;
        }

        return mask;
    }
}

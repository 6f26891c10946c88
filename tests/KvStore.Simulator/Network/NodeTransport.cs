using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Network;

/// <summary>What a replica sends is copied at once, as an encoder would, and put on the network.</summary>
internal sealed class NodeTransport(SimulatedNode self, SimulatedNetwork network, Func<NodeId, SimulatedNode> find, EventTrace trace) : IPeerTransport
{
    public void Send(ShardId shard, NodeId to, in RaftMessage message)
    {
        RaftMessage copy = message;
        Entry[] entries = message.Entries.ToArray();
        for (int i = 0; i < entries.Length; i++)
        {
            entries[i] = entries[i] with { Payload = entries[i].Payload.ToArray() };
        }

        copy.Entries = entries;
        trace.Add("send " + message.Kind, self.Index, to.Value, (message.Term.Value << 32) + (message.Index.Value << 8) + (ulong)entries.Length);
        SimulatedNode target = find(to);
        network.Send(self.Index, target.Index, () => target.Post("raft " + copy.Kind, replica => target.Receive(replica, copy)));
    }

    public void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
    {
        byte[] copy = payload.ToArray();
        trace.Add("send " + kind, self.Index, to.Value, (ulong)copy.Length);
        SimulatedNode target = find(to);
        network.Send(self.Index, target.Index, () => target.Post("dotted " + kind, replica => replica.Receive(self.Id, kind, copy)));
    }

    public void Send(ShardId shard, NodeId to, in SnapshotPage page)
    {
        SnapshotPage copy = page with { Records = [.. page.Records] };
        trace.Add("send page", self.Index, to.Value, (copy.SnapshotId << 16) + (ulong)copy.Number);
        trace.Count("snapshot page");
        SimulatedNode target = find(to);
        network.Send(self.Index, target.Index, () => target.Post("snapshot page", replica => replica.Receive(copy)));
    }
}

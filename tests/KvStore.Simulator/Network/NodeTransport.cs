using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Network;

/// <summary>What a replica sends is copied at once, as an encoder would, and put on the network.</summary>
internal sealed class NodeTransport(SimulatedNode self, SimulatedNetwork network, Func<NodeId, SimulatedNode> find, EventTrace trace) : IPeerTransport
{
    /// <summary>How the arrival of a message of the log's replicas begins.</summary>
    public const string RaftArrival = "raft ";

    private static readonly string[] RaftSends = [.. Names<RaftMessageKind>("send ")];
    private static readonly string[] RaftArrivals = [.. Names<RaftMessageKind>(RaftArrival)];
    private static readonly string[] DottedSends = [.. Names<DottedMessageKind>("send ")];
    private static readonly string[] DottedArrivals = [.. Names<DottedMessageKind>("dotted ")];

    public void Send(ShardId shard, NodeId to, in RaftMessage message)
    {
        RaftMessage copy = message;
        if (!message.Entries.IsEmpty)
        {
            Entry[] entries = message.Entries.ToArray();
            for (int i = 0; i < entries.Length; i++)
            {
                entries[i] = entries[i] with { Payload = entries[i].Payload.ToArray() };
            }

            copy.Entries = entries;
        }

        trace.Add(RaftSends[(int)message.Kind], self.Index, to.Value, (message.Term.Value << 32) + (message.Index.Value << 8) + (ulong)message.Entries.Length);
        SimulatedNode target = find(to);
        string arrival = RaftArrivals[(int)copy.Kind];
        network.Send(self.Index, target.Index, () => target.Post(arrival, replica => target.Receive(replica, self.Id, copy)));
    }

    public void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
    {
        byte[] copy = payload.ToArray();
        trace.Add(DottedSends[(int)kind], self.Index, to.Value, (ulong)copy.Length);
        SimulatedNode target = find(to);
        string arrival = DottedArrivals[(int)kind];
        network.Send(self.Index, target.Index, () => target.Post(arrival, replica => replica.Receive(self.Id, kind, copy)));
    }

    public void Send(ShardId shard, NodeId to, in SnapshotPage page)
    {
        SnapshotPage copy = page with { Records = [.. page.Records] };
        trace.Add("send page", self.Index, to.Value, (copy.SnapshotId << 16) + (ulong)copy.Number);
        trace.Count("snapshot page");
        SimulatedNode target = find(to);
        network.Send(self.Index, target.Index, () =>
        {
            target.Post("snapshot page", replica => replica.Receive(self.Id, copy));
            target.CrashAt(RareBranch.CrashAtSnapshotPage);
        });
    }

    private static IEnumerable<string> Names<T>(string prefix)
        where T : struct, Enum
    {
        T[] kinds = Enum.GetValues<T>();
        int last = kinds.Max(kind => Convert.ToInt32(kind, System.Globalization.CultureInfo.InvariantCulture));
        return Enumerable.Range(0, last + 1).Select(number => prefix + Enum.GetName(typeof(T), number));
    }
}

using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Checks;

/// <summary>
/// What must hold after every step: one leader in a term, applied and durable positions that only grow while a process lives, and state machines that hold the same at the same applied index.
/// </summary>
internal sealed class StepWatch
{
    private readonly Dictionary<Term, NodeId> _leaders = [];
    private readonly Dictionary<(ulong Applied, int Key), (ulong Content, NodeId Node)> _states = [];
    private readonly Dictionary<NodeId, (int Incarnation, ulong Applied, ulong Term)> _last = [];

    public void Look(SimulatedNode node, ScenarioSettings settings)
    {
        ShardReplica replica = node.Replica!;
        if (!replica.IsActive)
        {
            return;
        }

        // A voter that lost its disk under its old id may vote twice: open shards have no data at stake in that.
        if (replica.IsLeader && !settings.MayWipe && !_leaders.TryAdd(replica.Term, node.Id) && _leaders[replica.Term] != node.Id)
        {
            throw new SimulationFailedException($"Two leaders in term {replica.Term.Value}: {_leaders[replica.Term]} and {node.Id}.");
        }

        ulong applied = replica.Position.Applied.Value;
        if (_last.TryGetValue(node.Id, out (int Incarnation, ulong Applied, ulong Term) last)
            && last.Incarnation == node.Incarnation
            && (last.Term > replica.Term.Value || last.Applied > applied))
        {
            throw new SimulationFailedException($"{node.Id} went back from term {last.Term}, applied {last.Applied} to term {replica.Term.Value}, applied {applied}.");
        }

        // Only an apply changes what a key holds.
        bool isLooked = last.Incarnation == node.Incarnation && last.Applied == applied;
        _last[node.Id] = (node.Incarnation, applied, replica.Term.Value);
        if (settings.IsOpen || isLooked)
        {
            return;
        }

        for (int key = 0; key < settings.Keys; key++)
        {
            RecordLookup lookup = node.View!.Find(RecordSpace.Data, ClientKeys.Bytes(key).Span, out ReadOnlyMemory<byte> record);
            if (lookup == RecordLookup.NotResident)
            {
                continue;
            }

            ulong content = lookup == RecordLookup.Absent ? 0 : ((ulong)(uint)KeyHash.Of(record.Span) << 32) | (uint)record.Length;
            if (!_states.TryAdd((applied, key), (content, node.Id)) && _states[(applied, key)].Content != content)
            {
                throw new SimulationFailedException($"At applied index {applied}, {node.Id} and {_states[(applied, key)].Node} hold key k{key} differently.");
            }
        }
    }
}

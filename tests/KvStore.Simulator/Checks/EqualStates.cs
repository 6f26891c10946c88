using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>State machines that have applied the same entries hold the same bytes.</summary>
internal sealed class EqualStates
{
    private readonly Dictionary<(LogIndex Applied, int Key), (ulong Content, NodeId Node)> _states = [];

    public void Look(SimulatedNode node, LogIndex applied, int key, ReadOnlySpan<byte> record)
    {
        ulong content = record.IsEmpty ? 0 : ((ulong)(uint)KeyHash.Of(record) << 32) | (uint)record.Length;
        if (!_states.TryAdd((applied, key), (content, node.Id)) && _states[(applied, key)].Content != content)
        {
            throw new SimulationFailedException(
                nameof(EqualStates), $"At applied index {applied.Value}, {node.Id} and {_states[(applied, key)].Node} hold key k{key} differently.");
        }
    }
}

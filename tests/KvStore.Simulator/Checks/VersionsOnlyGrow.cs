using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>A key's version is the index that wrote it: never above what is applied, and never lower than it was at the same process before.</summary>
internal sealed class VersionsOnlyGrow
{
    private readonly Dictionary<(NodeId Node, int Key), (int Incarnation, LogIndex Version)> _versions = [];

    public void Look(SimulatedNode node, LogIndex applied, int key, LogIndex version)
    {
        if (version > applied)
        {
            throw new SimulationFailedException(nameof(VersionsOnlyGrow), $"{node.Id} has applied {applied} and holds k{key} at version {version.Value}.");
        }

        if (_versions.TryGetValue((node.Id, key), out (int Incarnation, LogIndex Version) last) && last.Incarnation == node.Incarnation && last.Version > version)
        {
            throw new SimulationFailedException(nameof(VersionsOnlyGrow), $"On {node.Id}, k{key} went back from version {last.Version.Value} to {version.Value}.");
        }

        _versions[(node.Id, key)] = (node.Incarnation, version);
    }
}

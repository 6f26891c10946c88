using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Siblings are writes that did not know of each other. A blind write supersedes all that the replica which takes it holds; so a value that this replica had acknowledged before the write was begun can't be its
/// sibling, unless the replica has lost it in between.
/// </summary>
internal sealed class ServedWrites
{
    private readonly Dictionary<string, Served> _byValue = new(StringComparer.Ordinal);

    public void Add(RecordedOperation write, SimulatedNode node, bool isBlind)
    {
        if (write.Input is { } value)
        {
            _byValue[value] = new Served(write, node.ReplicaId.Value, isBlind);
        }
    }

    /// <summary>Looks at the siblings of every read, and of the end.</summary>
    public void Check(History history, ReplicaDump end)
    {
        foreach (RecordedOperation read in history.Operations.Where(operation => operation.Kind == RecordedKind.Get && operation.Outcome == RecordedOutcome.Done))
        {
            Check(read.Key, read.Values);
        }

        foreach (string key in history.Operations.Select(operation => operation.Key).Distinct())
        {
            Check(key, [.. end.ValuesOf(key)]);
        }
    }

    private void Check(string key, IReadOnlyList<string> siblings)
    {
        foreach (string one in siblings)
        {
            foreach (string other in siblings)
            {
                if (_byValue.TryGetValue(one, out Served earlier) && _byValue.TryGetValue(other, out Served later)
                    && later.IsBlind && earlier.Replica == later.Replica && earlier.Write.ReturnOrder < later.Write.InvokeOrder)
                {
                    throw new SimulationFailedException("RealConcurrency", $"{key} has the siblings {one} and {other}, and the replica that took the second had acknowledged the first: {earlier.Write}; {later.Write}");
                }
            }
        }
    }

    private readonly record struct Served(RecordedOperation Write, ulong Replica, bool IsBlind);
}

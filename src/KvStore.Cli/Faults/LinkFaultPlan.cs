using KvStore.Cli.Running;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Faults;

/// <summary>Which directions of which links are to be cut: translated into what each node has to be told, because a node only knows its own ends of its links.</summary>
internal sealed class LinkFaultPlan
{
    private readonly HashSet<(uint From, uint To)> _cut = [];

    /// <summary>The nodes that have to be told something.</summary>
    public IEnumerable<uint> Nodes => _cut.SelectMany(cut => (uint[])[cut.From, cut.To]).Distinct().Order();

    /// <summary>Nothing from one side reaches the other, and the other way round.</summary>
    /// <exception cref="CliFailure">A node is on both sides.</exception>
    public static LinkFaultPlan Between(IReadOnlyCollection<uint> one, IReadOnlyCollection<uint> other)
    {
        var plan = new LinkFaultPlan();
        foreach (var from in one)
        {
            foreach (var to in other)
            {
                plan.CutOneWay(from, to);
                plan.CutOneWay(to, from);
            }
        }

        return plan;
    }

    /// <summary>Nothing from one node reaches the other; the way back stays open.</summary>
    /// <exception cref="CliFailure">Both are the same.</exception>
    public static LinkFaultPlan OneWay(uint from, uint to)
    {
        var plan = new LinkFaultPlan();
        plan.CutOneWay(from, to);
        return plan;
    }

    /// <summary>The faults of one node after this, keeping those that it has: a cut in the other direction, a delay.</summary>
    public IReadOnlyList<LinkFault> For(uint node, IEnumerable<LinkFault> present)
    {
        var faults = present.ToDictionary(fault => fault.Peer, fault => fault.Clone());
        foreach (var (from, to) in _cut.Where(cut => cut.From == node || cut.To == node))
        {
            var peer = from == node ? to : from;
            if (!faults.TryGetValue(peer, out var fault))
            {
                faults[peer] = fault = new LinkFault { Peer = peer };
            }

            fault.CutOutbound |= from == node;
            fault.CutInbound |= to == node;
        }

        return [.. faults.Values.OrderBy(fault => fault.Peer)];
    }

    private void CutOneWay(uint from, uint to)
    {
        if (from == to)
        {
            throw CliFailure.Usage($"Node {from} can't be cut off from itself; name two different nodes.");
        }

        _cut.Add((from, to));
    }
}

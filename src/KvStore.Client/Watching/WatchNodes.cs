using KvStore.Client.Routing;

namespace KvStore.Client;

/// <summary>Which node the next stream of a watch goes to: one that has the most of the shards; not one that has just failed, or has told of a gap, while there is another.</summary>
internal sealed class WatchNodes(KeyspaceRoute route, int[] shards, Random random)
{
    private readonly Dictionary<uint, int> _failures = [];
    private readonly HashSet<uint> _hadGap = [];

    public void OnFailed(uint node) => _failures[node] = _failures.GetValueOrDefault(node) + 1;

    /// <summary>It tells: what it and others did before counts no more.</summary>
    public void OnHeard() => _failures.Clear();

    /// <summary>A node could not resume from the positions. False: neither can any other, as far as they could be asked.</summary>
    public bool TryElsewhere(uint node)
    {
        _hadGap.Add(node);
        return Candidates().Any(other => !_hadGap.Contains(other));
    }

    /// <summary>The gap was told.</summary>
    public void ForgetGaps() => _hadGap.Clear();

    public KvMember? Choose(KvTopology topology)
    {
        uint[] candidates = [.. Candidates()];
        return topology.Members
            .Where(member => candidates.Length == 0 || Array.IndexOf(candidates, member.Node) >= 0)
            .OrderBy(member => _hadGap.Contains(member.Node))
            .ThenBy(member => _failures.GetValueOrDefault(member.Node))
            .ThenByDescending(member => shards.Count(shard => route.Shards[shard].Replicas.Contains(member.Node)))
            .ThenBy(_ => random.Next())
            .FirstOrDefault();
    }

    private IEnumerable<uint> Candidates() => shards.SelectMany(shard => route.Shards[shard].Replicas).Distinct();
}

using KvStore.Contracts.V1;
using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary>Looks whether all replicas of an open keyspace hold the same.</summary>
internal static class Convergence
{
    /// <summary>Reads the keys from every node, as that node's own replica has them, until all agree or the deadline passes.</summary>
    /// <returns>What each replica held at the last look.</returns>
    public static async Task<IReadOnlyList<ReplicaDump>> WaitAsync(DemoCluster cluster, string keyspace, IReadOnlyList<string> keys, TimeSpan deadline, CancellationToken stop)
    {
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        var begin = TimeProvider.System.GetTimestamp();
        ReplicaDump[] dumps;
        do
        {
            dumps = await Task.WhenAll(cluster.Nodes.Select(node => DumpAsync(node, keyspace, keys, stop)));
        }
        while (!ConvergenceChecker.Check(dumps).Converged && TimeProvider.System.GetElapsedTime(begin) < deadline && await look.WaitForNextTickAsync(stop));

        return dumps;
    }

    private static async Task<ReplicaDump> DumpAsync(PinnedNode node, string keyspace, IReadOnlyList<string> keys, CancellationToken stop)
    {
        var dump = new ReplicaDump($"node {node.Node}");
        foreach (var key in keys)
        {
            var answer = await node.GetAsync(keyspace, key, ReadLevel.Eventual, stop);

            // A node that does not answer holds something unknown, which agrees with nobody.
            foreach (var value in answer.IsDone ? answer.Values : [$"(no answer from node {node.Node}: {answer.Reason})"])
            {
                dump.Add(key, value);
            }
        }

        return dump;
    }
}

using KvStore.Cluster.Tests.Load;
using KvStore.Contracts.V1;
using KvStore.TestKit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Breaks a three-node cluster in many ways, one after the other, in an order drawn from a seed. Each lasts until the load has made progress in spite of it.</summary>
internal sealed class Troubles(KvTestCluster cluster, string keyspace, RecordedLoad load, Action<string> tell)
{
    private const int Progress = 60;

    /// <summary>All kinds once.</summary>
    public async Task PlayAsync(int seed)
    {
        var random = new Random(seed);
        (string Name, Func<uint, Task> Play)[] all =
        [
            ("isolate", IsolateAsync),
            ("one-way out", node => CutOneWayAsync(node, outbound: true)),
            ("one-way in", node => CutOneWayAsync(node, outbound: false)),
            ("a link between two that both reach the third", CutLinkAsync),
            ("everybody alone", _ => ScatterAsync()),
            ("kill and restart", KillAsync),
            ("kill and restart again", KillAsync),
            ("stop and restart", StopAsync),
        ];
        random.Shuffle(all);
        await ProgressAsync("before the first trouble");
        foreach ((string name, Func<uint, Task> play) in all)
        {
            // Every other time the leader of the first shard, which hurts most.
            uint victim = random.Next(2) == 0 ? await LeaderAsync() : (uint)random.Next(1, cluster.Nodes.Count + 1);
            long begin = TimeProvider.System.GetTimestamp();
            await play(victim);
            await cluster.HealAsync();
            await ProgressAsync($"after {name}");
            tell($"{name} (node {victim}): {TimeProvider.System.GetElapsedTime(begin).TotalMilliseconds:0} ms; {load}");
        }
    }

    /// <summary>Waits until the load has done some more.</summary>
    public Task ProgressAsync(string when)
    {
        long target = load.Done + Progress;
        return cluster.WaitUntilAsync($"{Progress} more operations done {when}", () => Task.FromResult(load.Done >= target));
    }

    private async Task IsolateAsync(uint node)
    {
        await cluster.IsolateAsync(node);
        await ProgressAsync($"while node {node} is isolated");
    }

    private async Task CutOneWayAsync(uint node, bool outbound)
    {
        foreach (uint peer in Peers(node))
        {
            await (outbound ? cluster.OneWayCutAsync(node, peer) : cluster.OneWayCutAsync(peer, node));
        }

        await ProgressAsync($"while nothing {(outbound ? "from" : "to")} node {node} arrives");
    }

    private async Task CutLinkAsync(uint node)
    {
        uint peer = Peers(node).First();
        await cluster.OneWayCutAsync(node, peer);
        await cluster.OneWayCutAsync(peer, node);
        await ProgressAsync($"while nodes {node} and {peer} only reach the third");
    }

    private async Task ScatterAsync()
    {
        await cluster.PartitionAsync([1], [2], [3]);
        await cluster.WaitUntilAsync(
            "every node knows that it is alone",
            async () =>
            {
                foreach (KvTestNode node in cluster.Nodes)
                {
                    NodeStatusResponse status = await cluster.StatusAsync(node.Id);
                    if (status.Peers.Any(peer => peer.Reachability != Reachability.Down))
                    {
                        return false;
                    }
                }

                return true;
            });
    }

    private async Task KillAsync(uint node)
    {
        await cluster.KillAsync(node);
        await ProgressAsync($"while node {node} is dead");
        await cluster.RestartAsync(node);
    }

    private async Task StopAsync(uint node)
    {
        await cluster.StopAsync(node);
        await ProgressAsync($"while node {node} is stopped");
        await cluster.RestartAsync(node);
    }

    private IEnumerable<uint> Peers(uint node) => cluster.Nodes.Select(peer => peer.Id).Where(peer => peer != node);

    private async Task<uint> LeaderAsync()
    {
        IReadOnlyList<ReplicaStatus> replicas = await cluster.ReplicasAsync(keyspace);
        return replicas.Where(replica => replica is { Shard: 0, Leader: not 0 }).OrderByDescending(replica => replica.Term).Select(replica => replica.Leader).FirstOrDefault(1u);
    }
}

using System.Diagnostics;
using System.Globalization;
using KvStore.Contracts.V1;
using KvStore.TestKit;

namespace KvStore.Benchmarks;

/// <summary>
/// How long three real nodes on loopback take from the heal of a partition until they are equal: <c>heal [keys] [rounds] [seconds]</c>, 10,000 differing keys, five rounds and ten seconds of writing if nothing is said. Half of the keys are
/// written on either side, evenly over the time. Counted from the call that heals, so the time until the nodes hear one another again is in it.
/// </summary>
internal static class HealingTime
{
    private const int Writers = 32;
    private const int ValueBytes = 100;
    private static readonly TimeSpan PatienceAfterHeal = TimeSpan.FromMinutes(2);

    public static async Task<int> RunAsync(string[] arguments, TextWriter output)
    {
        int keys = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 10_000;
        int rounds = arguments.Length > 1 ? int.Parse(arguments[1], CultureInfo.InvariantCulture) : 5;
        int seconds = arguments.Length > 2 ? int.Parse(arguments[2], CultureInfo.InvariantCulture) : 10;
        if (keys is < 2 or > 1_000_000 || rounds < 1 || seconds is < 0 or > 600)
        {
            await output.WriteLineAsync("heal [keys] [rounds] [seconds]: 2 to 1,000,000 keys, written in 0 to 600 seconds.");
            return 2;
        }

        MachineLoad before = MachineLoad.Now();
        var times = new List<double>();
        for (int round = 1; round <= rounds; round++)
        {
            // A new one each time: a link that is lost for the third time within seconds is taken for one that flaps, and its return is not believed at once.
            await using KvTestCluster cluster = await KvTestCluster.StartAsync(nodes: 3);
            const string Keyspace = "healing";
            await cluster.CreateKeyspaceAsync(Keyspace, PartitionPolicy.Ap, Replication.Async);
            await cluster.PartitionAsync([1], [2, 3]);
            await cluster.WaitUntilAsync("node 1 knows that it is alone, and the others know it", async () =>
                (await cluster.StatusAsync(1)).Peers.All(peer => peer.Reachability == Reachability.Down)
                && (await cluster.StatusAsync(2)).Peers.Single(peer => peer.Node == 1).Reachability == Reachability.Down
                && (await cluster.StatusAsync(3)).Peers.Single(peer => peer.Node == 1).Reachability == Reachability.Down);
            await Task.WhenAll(WriteAsync(cluster.ClientOf(1), Keyspace, "left", keys / 2, seconds), WriteAsync(cluster.ClientOf(2), Keyspace, "right", keys - (keys / 2), seconds));

            long healed = Stopwatch.GetTimestamp();
            await cluster.HealAsync();
            TimeSpan heard = TimeSpan.Zero, equal;
            using PeriodicTimer look = new(TimeSpan.FromMilliseconds(5));
            do
            {
                (bool areHeard, bool areEqual) = await LookAsync(cluster, Keyspace);
                equal = Stopwatch.GetElapsedTime(healed);
                heard = heard == TimeSpan.Zero && areHeard ? equal : heard;
                if (areEqual)
                {
                    break;
                }

                await look.WaitForNextTickAsync();
            }
            while (equal < PatienceAfterHeal);

            times.Add(equal.TotalMilliseconds);
            string hearing = heard == TimeSpan.Zero ? "not all nodes are told to hear one another yet" : $"all nodes hear one another after {heard.TotalMilliseconds:N0} ms";
            await output.WriteLineAsync($"Round {round}: {keys:N0} differing keys, {hearing}, all replicas equal {equal.TotalMilliseconds:N0} ms after the heal.");
        }

        times.Sort();
        await output.WriteLineAsync($"Median {times[times.Count / 2]:N0} ms, from {times[0]:N0} to {times[^1]:N0} ms. {MachineLoad.Now().Since(before)}");
        return times[^1] < PatienceAfterHeal.TotalMilliseconds ? 0 : 1;
    }

    private static Task WriteAsync(KvNodeClient client, string keyspace, string side, int keys, int seconds)
    {
        long began = Stopwatch.GetTimestamp();
        string value = new('x', ValueBytes);
        int next = 0;
        return Task.WhenAll(Enumerable.Range(0, Writers).Select(async _ =>
        {
            for (int i = Interlocked.Increment(ref next); i <= keys; i = Interlocked.Increment(ref next))
            {
                TimeSpan early = TimeSpan.FromSeconds((double)seconds * i / keys) - Stopwatch.GetElapsedTime(began);
                if (early > TimeSpan.Zero)
                {
                    await Task.Delay(early);
                }

                KvNodeAnswer answer = await client.PutAsync(keyspace, $"{side}-{i}", value);
                if (!answer.IsDone)
                {
                    throw new InvalidOperationException($"A put was not done: {answer.Reason}");
                }
            }
        }));
    }

    /// <summary>Whether all nodes hear one another, and whether all replicas have equal clocks and equal digests.</summary>
    private static async Task<(bool Heard, bool Equal)> LookAsync(KvTestCluster cluster, string keyspace)
    {
        NodeStatusResponse[] nodes = await Task.WhenAll(cluster.Nodes.Select(node => cluster.StatusAsync(node.Id, replicas: true)));
        ReplicaStatus[] replicas = [.. nodes.SelectMany(node => node.Replicas).Where(replica => replica.Keyspace == keyspace)];
        bool equal = replicas.Length > 0 && replicas.All(replica => replica.Digest.Length > 0)
            && replicas.GroupBy(replica => replica.Shard).All(shard => shard.Count() == nodes.Length && shard.Select(replica => (replica.Clock, replica.Digest)).Distinct().Count() == 1);
        return (nodes.All(node => node.Peers.All(peer => peer.Reachability == Reachability.Up && peer.HearsUs)), equal);
    }
}

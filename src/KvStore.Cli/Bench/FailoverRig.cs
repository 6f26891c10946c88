using KvStore.Cli.Demo;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench;

/// <summary>Takes the leader of a one-shard keyspace away, again and again, while writes go on.</summary>
internal sealed class FailoverRig(DemoCluster cluster, CommandContext context)
{
    private const string Name = "failover";

    /// <summary>A write is begun every so often after the failure, so that what is measured is the cluster and not one write's turn to try again.</summary>
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(5);

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static readonly KvWriteOptions Patient = new() { Timeout = TimeSpan.FromSeconds(30), RetryNoQuorumUntilDeadline = true };

    private int _written;

    private IKvKeyspace Keyspace => cluster.Client.Keyspace(Name);

    public async Task PrepareAsync()
    {
        await cluster.Client.Admin.CreateKeyspaceAsync(
            new KvKeyspaceSettings { Name = Name, Policy = PartitionPolicy.Cp, Replication = Replication.Sync, Shards = 1, Replicas = cluster.Nodes.Count }, context.Stop);
        await UntilLedAsync(Name);
    }

    /// <summary>One failure: how long until a write that began after it was acknowledged, and how long the first such write took.</summary>
    public async Task<(TimeSpan Acknowledged, TimeSpan Oldest)> FailAsync(bool kill)
    {
        var leader = await UntilLedAsync(Name);

        // Under way all the time, as in a service: the client's connections stand, and it knows the leader.
        for (var i = 0; i < 20; i++)
        {
            await Keyspace.PutAsync(Key(), "before", Patient, context.Stop);
        }

        if (kill)
        {
            cluster.Kill(leader);
        }
        else
        {
            await cluster.PartitionAsync([leader], [.. cluster.Nodes.Select(node => node.Node).Where(node => node != leader)], context.Stop);
        }

        var begin = TimeProvider.System.GetTimestamp();
        var writes = new List<Task<TimeSpan>> { WriteAsync(begin) };
        using var timer = new PeriodicTimer(Pace);
        while (!writes.Exists(write => write.IsCompleted))
        {
            await timer.WaitForNextTickAsync(context.Stop);
            writes.Add(WriteAsync(begin));
        }

        var first = await await Task.WhenAny(writes);
        var times = await Task.WhenAll(writes);
        await (kill ? cluster.RestartAsync(leader, context.Stop) : cluster.HealAsync(context.Stop));
        return (first, times[0]);
    }

    /// <summary>Waits until all nodes hear one another and every replica of the keyspace follows one leader with all that it has. Returns the leader of shard 0.</summary>
    public async Task<uint> UntilLedAsync(string keyspace)
    {
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        var begin = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (await LookAsync(keyspace) is { } replicas && replicas.GroupBy(replica => replica.Shard).All(shard =>
                shard.Select(replica => (replica.Leader, replica.Applied)).Distinct().Count() == 1 && shard.First().Leader != 0))
            {
                return replicas.First(replica => replica.Shard == 0).Leader;
            }

            if (TimeProvider.System.GetElapsedTime(begin) > Deadline)
            {
                throw new CliFailure(ExitCode.Failed, $"Waited {Quantities.Describe(Deadline)} for the cluster to be whole, in vain.");
            }

            await look.WaitForNextTickAsync(context.Stop);
        }
    }

    /// <summary>The highest term that any replica of each shard knows.</summary>
    public async Task<Dictionary<uint, ulong>> TermsAsync(string keyspace)
    {
        while (true)
        {
            if (await LookAsync(keyspace) is { } replicas)
            {
                return replicas.GroupBy(replica => replica.Shard).ToDictionary(shard => shard.Key, shard => shard.Max(replica => replica.Term));
            }

            await Task.Yield();
        }
    }

    private async Task<TimeSpan> WriteAsync(long begin)
    {
        await Keyspace.PutAsync(Key(), "after", Patient, context.Stop);
        return TimeProvider.System.GetElapsedTime(begin);
    }

    private string Key() => $"key-{Interlocked.Increment(ref _written) % 1_000}";

    /// <summary>All replicas of the keyspace; null while a node does not answer or does not hear another.</summary>
    private async Task<List<ReplicaStatus>?> LookAsync(string keyspace)
    {
        var all = new List<ReplicaStatus>();
        foreach (var node in cluster.Nodes)
        {
            try
            {
                var status = await cluster.Client.Admin.NodeStatusAsync(node.Node, replicas: true, context.Stop);
                if (status.Peers.Any(peer => peer.Reachability != Reachability.Up || !peer.HearsUs))
                {
                    return null;
                }

                all.AddRange(status.Replicas.Where(replica => replica.Keyspace == keyspace));
            }
            catch (KvException)
            {
                return null;
            }
        }

        return all.Count == 0 ? null : all;
    }
}

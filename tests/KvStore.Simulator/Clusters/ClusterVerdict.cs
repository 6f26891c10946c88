using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.TestKit.Histories;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Clusters;

/// <summary>Judges what a cluster has done, when it is over: each keyspace by what its mode promises.</summary>
internal static class ClusterVerdict
{
    /// <summary>All replicas of each shard stand at the same place and have nothing left to do. Otherwise: what is missing.</summary>
    public static string? Unfinished(World world)
    {
        Dictionary<ShardId, ShardReplica> firsts = [];
        foreach (ClusterNode node in world.Nodes)
        {
            if (!node.IsUp)
            {
                return $"{node.Id} is down";
            }

            foreach (ShardReplica replica in node.Replicas)
            {
                ShardId shard = replica.Descriptor.Shard;
                if (firsts.TryAdd(shard, replica))
                {
                    continue;
                }

                ReplicaStatus one = firsts[shard].Describe();
                ReplicaStatus other = replica.Describe();
                if (other.Fenced.Length > 0 || other.PeerLag > 0 || one.PeerLag > 0 || one.Clock != other.Clock || one.Applied != other.Applied)
                {
                    return $"{shard} at {node.Id}: applied {other.Applied.Value} not {one.Applied.Value}, clock {other.Clock} not {one.Clock}, lag {other.PeerLag} {other.Fenced}";
                }
            }

            if (node.Replicas.FirstOrDefault(replica => replica.PendingCount > 0) is { } busy)
            {
                return $"{busy.Descriptor.Shard} at {node.Id} has {busy.PendingCount} pending";
            }

            if (node.Unanswered > 0)
            {
                return $"{node.Id} owes {node.Unanswered} answers";
            }
        }

        return null;
    }

    public static void Check(KeyspaceSettings keyspace, LocalReads reads, ClusterContext context, bool crashed)
    {
        foreach (List<ReplicaDump> dumps in reads.Contents)
        {
            ConvergenceResult converged = ConvergenceChecker.Check(dumps);
            if (!converged.Converged)
            {
                throw new SimulationFailedException("Convergence", $"{keyspace.Name}: the replicas stand at the same place, and hold different data: {converged}");
            }
        }

        History history = context.Recorder(keyspace).ToHistory();
        if (keyspace.IsOpen)
        {
            Judge(keyspace, history, reads.Values, _ => keyspace.Mode.Replication == Replication.BestEffort && crashed);
            CheckQuorumReads(keyspace, history, context);
        }
        else if (keyspace.Mode.Replication == Replication.Sync)
        {
            LinearizabilityResult result = LinearizabilityChecker.Check(history);
            if (result.Verdict != LinearizabilityVerdict.Linearizable)
            {
                throw new SimulationFailedException(
                    "Linearizability",
                    $"{keyspace.Name}: {result}{Environment.NewLine}{string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == result.Key))}");
            }
        }
        else if (ProvenanceChecker.Check(history).FirstOrDefault() is { } invented)
        {
            throw new SimulationFailedException("NothingInvented", $"{keyspace.Name}: {invented.Explanation}");
        }
    }

    /// <summary>A quorum read returns what a majority had confirmed before it began, or what came after it.</summary>
    private static void CheckQuorumReads(KeyspaceSettings keyspace, History history, ClusterContext context)
    {
        if (keyspace.Mode.Replication != Replication.Sync)
        {
            return;
        }

        foreach (RecordedOperation read in history.Operations)
        {
            if (read.Outcome != RecordedOutcome.Done || !read.Client.EndsWith(ClusterContext.QuorumMark, StringComparison.Ordinal))
            {
                continue;
            }

            var end = new ReplicaDump("the quorum");
            foreach (string value in read.Values)
            {
                end.Add(read.Key, value);
            }

            Judge(
                keyspace,
                new History(history.Operations.Where(operation => operation.Key == read.Key && operation.InvokeOrder < read.ReturnOrder)),
                end,
                violation => violation.Fault != AcknowledgedWriteFault.Lost
                    || violation.Operation!.ReturnOrder >= read.InvokeOrder
                    || context.ThinWrites.Contains((keyspace.Id, violation.Operation.InvokeOrder)));
        }
    }

    private static void Judge(KeyspaceSettings keyspace, History history, ReplicaDump end, Func<AcknowledgedWriteViolation, bool> isAllowed)
    {
        if (AcknowledgedWriteChecker.Check(history, end).FirstOrDefault(violation => !isAllowed(violation)) is { } violation)
        {
            throw new SimulationFailedException(
                "AcknowledgedWrites",
                $"{keyspace.Name}: {violation}{Environment.NewLine}In {end.Replica}: {string.Join(", ", end.ValuesOf(violation.Key))}{Environment.NewLine}"
                + string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == violation.Key)));
        }
    }
}

using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;
using KvStore.TestKit.Histories;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Checks;

/// <summary>Judges what an open shard has done, when it is over.</summary>
internal static class OpenVerdict
{
    /// <summary>Equal clocks, nothing kept for a peer, nothing to be stripped any more, and every record counted.</summary>
    public static bool HasConverged(SimulatedCluster cluster)
    {
        IReadOnlyList<SimulatedNode> nodes = cluster.Usable;
        if (nodes.Any(node => !node.IsUp))
        {
            return false;
        }

        ReplicaStatus first = nodes[0].Replica!.Describe();
        foreach (SimulatedNode node in nodes)
        {
            ReplicaStatus status = node.Replica!.Describe();
            if (status.Fenced.Length > 0 || status.PeerLag > 0 || status.Clock != first.Clock || status.Open is not { IsRecovering: false, IndexedDots: 0, MayStrip: false, HasDigests: true })
            {
                return false;
            }
        }

        return true;
    }

    /// <param name="lostDisk">Whether some replica has lost its disk, gone back to an old one, or was removed with it.</param>
    public static void Check(History history, OpenDumps dumps, ClientContext context, FaultDriver faults, bool lostDisk)
    {
        ScenarioSettings settings = context.Cluster.Settings;
        ConvergenceResult converged = ConvergenceChecker.Check(dumps.Contents);
        if (!converged.Converged)
        {
            throw new SimulationFailedException("Convergence", $"The clocks are equal, the data is not: {converged}");
        }

        // Best-effort writes live in one process until they have spread; a degraded one may have been on the lost disk alone. What such a write had superseded comes back when it is lost.
        bool mayLose = (settings.Mode.Replication == Replication.BestEffort && faults.Crashed) || ((lostDisk || settings.Spares > 0) && settings.Mode.Replication != Replication.Sync);
        Judge("AcknowledgedOpenWrites", history, dumps.Values[0], violation => mayLose && violation.Fault is (AcknowledgedWriteFault.Lost or AcknowledgedWriteFault.Resurrected));
        if (settings.Mode.Replication == Replication.Sync && !lostDisk)
        {
            CheckQuorumReads(history, context.ThinWrites);
        }

        if (!lostDisk && !(settings.Mode.Replication == Replication.BestEffort && faults.Crashed))
        {
            context.Served.Check(history, dumps.Values[0]);
        }
    }

    /// <summary>A quorum read returns what a majority had confirmed before it began, or what came after it.</summary>
    private static void CheckQuorumReads(History history, HashSet<long> thinWrites)
    {
        foreach (RecordedOperation read in history.Operations)
        {
            if (read.Outcome != RecordedOutcome.Done || !read.Client.EndsWith(ClientContext.QuorumMark, StringComparison.Ordinal))
            {
                continue;
            }

            var end = new ReplicaDump("the quorum");
            foreach (string value in read.Values)
            {
                end.Add(read.Key, value);
            }

            IEnumerable<RecordedOperation> before = history.Operations.Where(operation => operation.Key == read.Key && operation.InvokeOrder < read.ReturnOrder);
            Judge(
                "QuorumReads",
                new History(before),
                end,
                violation => violation.Fault != AcknowledgedWriteFault.Lost
                    || violation.Operation!.ReturnOrder >= read.InvokeOrder
                    || thinWrites.Contains(violation.Operation.InvokeOrder));
        }
    }

    private static void Judge(string checker, History history, ReplicaDump end, Func<AcknowledgedWriteViolation, bool> isAllowed)
    {
        foreach (AcknowledgedWriteViolation violation in AcknowledgedWriteChecker.Check(history, end))
        {
            if (!isAllowed(violation))
            {
                throw new SimulationFailedException(
                    checker,
                    $"{violation}{Environment.NewLine}In the end: {string.Join(", ", end.ValuesOf(violation.Key))}{Environment.NewLine}"
                    + string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == violation.Key)));
            }
        }
    }
}

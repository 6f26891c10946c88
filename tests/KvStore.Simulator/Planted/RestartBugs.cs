using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Planted;

/// <summary>A restart that finds its term and has forgotten whom it voted for.</summary>
internal sealed class VoteForgotten : PlantedBug
{
    public override string Name => "vote-forgotten";

    public override string StandsFor => "A restart that restores the term and not the vote: two candidates of one term get the same voter (C9).";

    public override string ExpectedBy => "OneLeaderPerTerm";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn);

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered) => recovered with
    {
        // The vote stands in front of the commit index, in eight bytes.
        Records = [.. recovered.Records.Select(record => record.Kind == LogRecordKind.HardState
            ? record with { Payload = (byte[])[.. new byte[8], .. record.Payload.Span[8..]] }
            : record)],
    };
}

/// <summary>A restart that finds neither term nor vote.</summary>
internal sealed class TermForgotten : PlantedBug
{
    public override string Name => "term-forgotten";

    public override string StandsFor => "A restart that takes its term from the last entry of the log: it votes once more in a term in which it has voted (C9).";

    public override string ExpectedBy => "OneLeaderPerTerm, LogsAgree";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn);

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered) =>
        recovered with { Records = [.. recovered.Records.Where(record => record.Kind != LogRecordKind.HardState)] };
}

/// <summary>A restart that loses the end of a log that was durable.</summary>
internal sealed class TailForgotten : PlantedBug
{
    public override string Name => "tail-forgotten";

    public override string StandsFor => "A recovery that takes a good batch at the end of the log for a torn one: entries that this replica has acknowledged are gone.";

    public override string ExpectedBy => "CommittedEntriesStay, AcknowledgedWritesStay, Progress";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered)
    {
        List<RecoveredRecord> records = [.. recovered.Records];
        for (int left = Random.Next(1, 4); left > 0 && records.Count > 0; left--)
        {
            if (records[^1].Kind == LogRecordKind.Entry && records[^1].Index > recovered.Position.Applied)
            {
                records.RemoveAt(records.Count - 1);
            }
        }

        return recovered with { Records = records };
    }
}

/// <summary>A restart in which entries come back that a newer leader had replaced.</summary>
internal sealed class TruncationForgotten : PlantedBug
{
    public override string Name => "truncation-forgotten";

    public override string StandsFor => "A truncation that is not durable: after a restart the old end of the log stands behind the new one.";

    public override string ExpectedBy => "Invariants, LogsAgree";

    /// <summary>Leaders change often, and one that is cut off has taken more than its successor: its clients need not wait for a majority.</summary>
    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn) with
    {
        Mode = drawn.Mode with { Replication = Replication.Async },
        MaxLag = MaxLag.Default,
    };

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered)
    {
        var all = new SortedDictionary<LogIndex, RecoveredRecord>();
        LogIndex last = LogIndex.Zero;
        foreach (RecoveredRecord record in recovered.Records)
        {
            if (record.Kind == LogRecordKind.SnapshotInstalled)
            {
                all.Clear();
                last = record.Index;
            }
            else if (record.Kind == LogRecordKind.Entry)
            {
                all[record.Index] = record;
                last = record.Index;
            }
        }

        return recovered with { Records = [.. recovered.Records, .. all.Values.Where(record => record.Index > last)] };
    }
}

/// <summary>The record that was torn at the end of the log is read as if it were whole.</summary>
internal sealed class TornWriteAccepted : PlantedBug
{
    private readonly Dictionary<NodeId, List<RecoveredRecord>> _written = [];

    public override string Name => "torn-write-accepted";

    public override string StandsFor => "A log without checksums: half a record at its end passes for a whole one (scenario 25).";

    public override string ExpectedBy => "LogsAgree";

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered)
    {
        if (!_written.Remove(node.Id, out List<RecoveredRecord>? written) || recovered.Records.Count == 0 || recovered.Records[^1].Kind != LogRecordKind.Entry)
        {
            return recovered;
        }

        RecoveredRecord last = recovered.Records[^1];
        int next = 1 + written.FindLastIndex(record => record.Index == last.Index && record.Term == last.Term);
        return next > 0 && next < written.Count && written[next].Index == last.Index.Next
            ? recovered with { Records = [.. recovered.Records, Tear(written[next])] }
            : recovered;
    }

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage)
    {
        List<RecoveredRecord> written = [];
        _written[node.Id] = written;
        return new Witness(written, storage);
    }

    private static RecoveredRecord Tear(in RecoveredRecord record)
    {
        const int Header = WriteCommand.HeaderLength + 2;
        return record.Payload.Length > Header ? record with { Payload = record.Payload[..(Header + ((record.Payload.Length - Header) / 2))] } : record;
    }

    private sealed class Witness(List<RecoveredRecord> written, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            if (kind == LogRecordKind.Entry)
            {
                written.Add(new RecoveredRecord(kind, term, index, payload.ToArray()));
            }

            return Inner.Append(kind, term, index, payload, urgency);
        }
    }
}

/// <summary>A voter loses its disk and comes back under its old id.</summary>
internal sealed class VoterWiped : PlantedBug
{
    private const int Rarity = 3;

    public override string Name => "voter-wiped";

    public override string StandsFor => "A data directory that is wiped, and a node that goes on under its old replica id: it votes twice and has forgotten what it acknowledged (C9, scenario 32).";

    public override string ExpectedBy => "OneLeaderPerTerm, CommittedEntriesStay, Invariants";

    public override void BeforeStart(SimulatedNode node)
    {
        if (node.Incarnation > 1 && OneIn(Rarity))
        {
            node.Disk.Wipe();
        }
    }
}

/// <summary>An open replica that loses the end of its journal.</summary>
internal sealed class OpenTailForgotten : PlantedBug
{
    public override string Name => "open-tail-forgotten";

    public override string StandsFor => "An open shard's log tail that is truncated: writes acknowledged here alone are lost, and their dots are minted again for others (C7).";

    public override string ExpectedBy => "AcknowledgedOpenWrites, Convergence, Invariants";

    public override ScenarioKind Kind => ScenarioKind.Ap;

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered)
    {
        int last = recovered.Records.Count - 1;
        bool drop = last >= 0 && recovered.Records[last].Kind == LogRecordKind.Dotted && recovered.Records[last].Index.Value > recovered.Position.Dotted;
        return drop ? recovered with { Records = [.. recovered.Records.Take(last)] } : recovered;
    }
}

using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Checks;

/// <summary>Looks at a node after each of its steps, on behalf of all checks that need no answer of a client.</summary>
internal sealed class StepWatch
{
    private readonly OneLeaderPerTerm _leaders = new();
    private readonly PositionsNeverGoBack _positions = new();
    private readonly OneDotPerValue _dots = new();
    private readonly EqualRequests _requests = new();
    private readonly BaselineOnMajority _baselines = new();
    private readonly EqualStates _states = new();
    private readonly VersionsOnlyGrow _versions = new();
    private readonly HashSet<(int Key, LogIndex Version)> _seen = [];

    public StepWatch()
    {
        Committed = new CommittedEntriesStay(Logs);
        Failures = new FailuresStayInvisible(Effects);
        Committed.OnCommitted = (index, entry) => Acknowledged.OnCommitted(index, entry);
    }

    public LogsAgree Logs { get; } = new();

    public RegimesAgree Regimes { get; } = new();

    public CommittedEntriesStay Committed { get; }

    public OneEffectPerRequest Effects { get; } = new();

    public FailuresStayInvisible Failures { get; }

    public AcknowledgedWritesStay Acknowledged { get; } = new();

    public LostWriteWatch LostWrites { get; } = new();

    /// <summary>What is written outside the log and merged.</summary>
    public OverlayWatch Overlays { get; } = new();

    /// <summary>A process starts with what it found, over this storage. Returns the storage to give it.</summary>
    public IReplicaStorage OnStart(SimulatedNode node, RecoveredReplica recovered, IReplicaStorage storage)
    {
        Logs.OnStart(node, recovered);
        IReplicaStorage applied = new AppliedRecorder(storage, LostWrites);
        return new LogRecorder(node, node.IsAdaptive ? new OverlayRecorder(applied, Overlays) : applied, Logs);
    }

    /// <summary>A term had two leaders, because a voter of an open shard had lost the memory of its vote (real nodes refuse one that has). Whoever hears of both stops, as it should.</summary>
    public bool HadTwoLeadersIn(Term term) => _leaders.HadTwoIn(term);

    public void Look(SimulatedNode node, ScenarioSettings settings)
    {
        ShardReplica replica = node.Replica!;
        if (!replica.IsActive)
        {
            return;
        }

        // A voter that lost its disk under its old id may vote twice: open shards have no data at stake in that.
        bool leads = replica.IsLeader;
        if (leads)
        {
            _leaders.Look(node, replica.Term, settings.IsOpen && settings.MayWipe);
        }

        LogIndex applied = replica.Position.Applied;
        bool moved = _positions.Look(node, applied, replica.Term);
        if (settings.Switches)
        {
            LookAtSwitched(node, applied, leads, settings);
            return;
        }

        if (settings.IsOpen)
        {
            return;
        }

        Committed.Look(node, applied, replica.Term, leads);
        for (int key = 0; key < settings.Keys && moved; key++)
        {
            RecordLookup lookup = node.View!.Find(RecordSpace.Data, ClientKeys.Bytes(key).Span, out ReadOnlyMemory<byte> record);
            if (lookup != RecordLookup.NotResident)
            {
                LookAt(node, applied, key, lookup == RecordLookup.Found ? record : default);
            }
        }
    }

    private void LookAtSwitched(SimulatedNode node, LogIndex applied, bool leads, ScenarioSettings settings)
    {
        Regimes.Look(node);
        _baselines.Look(node, settings.Nodes);

        // Into an open period the position skips before it is durable, and only then the entries that it passed over are void.
        Term atApplied = Logs.Of(node).TermAt(applied);
        if (applied <= Logs.Of(node).Last && (atApplied == Term.Zero || atApplied == node.Replica!.Position.AppliedTerm))
        {
            Committed.Look(node, applied, node.Replica!.Term, leads);
        }

        if (node.Replica!.CurrentRegime.Kind == RegimeKind.Ordered && node.Replica.CaptureRequests() is { } sum)
        {
            _requests.Look(node, applied, sum);
        }

        for (int key = 0; key < settings.Keys; key++)
        {
            if (node.View!.Find(RecordSpace.Data, ClientKeys.Bytes(key).Span, out ReadOnlyMemory<byte> record) == RecordLookup.Found)
            {
                _dots.Look(node, key, record);
            }
        }
    }

    private void LookAt(SimulatedNode node, LogIndex applied, int key, ReadOnlyMemory<byte> record)
    {
        _states.Look(node, applied, key, record.Span);
        if (record.IsEmpty)
        {
            return;
        }

        // Not the version that clients get: a merge that takes a sibling away again leaves the live values, and so the version, of before.
        DottedObject held = DottedObject.Decode(record);
        var version = new LogIndex(OrderedRecord.IsOrdered(record.Span) ? OrderedRecord.Decode(record).Index.Value : held.Context[ActorId.Log]);
        if (held.IsEmpty)
        {
            // The trace of a delete: no value.
            return;
        }

        _versions.Look(node, applied, key, version);
        if (!_seen.Add((key, version)))
        {
            return;
        }

        foreach (DottedValue found in held.Values)
        {
            ReadOnlySpan<byte> value = found.Value.Span;
            int end = value.IndexOf((byte)'.');
            string text = Encoding.UTF8.GetString(end < 0 ? value : value[..end]);
            Effects.OnSeen(key, text, found.Dot);
            Failures.OnSeen(key, text);
        }
    }
}

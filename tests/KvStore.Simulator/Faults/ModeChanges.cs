using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Faults;

/// <summary>An operator who keeps changing his mind about a shard's mode while faults strike, and in the end insists on one.</summary>
internal sealed class ModeChanges(SimulatedCluster cluster, Random random)
{
    private const int PatienceMs = 4_000;

    private static readonly KeyspaceMode[] Modes =
    [
        new(PartitionChoice.Cp, Replication.Sync),
        new(PartitionChoice.Ap, Replication.Sync),
        new(PartitionChoice.Cp, Replication.Sync),
        new(PartitionChoice.Ap, Replication.Async),
        new(PartitionChoice.Ap, Replication.Sync),
        new(PartitionChoice.Cp, Replication.Async),
    ];

    private static readonly KeyspaceMode[] AllModes =
    [
        .. Modes,
        new(PartitionChoice.Adaptive, Replication.Sync),
        new(PartitionChoice.Adaptive, Replication.Sync),
        new(PartitionChoice.Adaptive, Replication.Sync),
        new(PartitionChoice.Adaptive, Replication.Async),
    ];

    private readonly KeyspaceMode[] _modes = cluster.Settings.SwitchesToAdaptive ? AllModes : Modes;
    private readonly int _pauseMs = random.Next(3) switch { 0 => 800, 1 => 3_000, _ => 8_000 };
    private KeyspaceMode? _final;

    /// <summary>Changes that were reported as done.</summary>
    public int Done { get; private set; }

    public void Begin() => cluster.Timeline.After(random.Next(1, 2 * _pauseMs) * 1_000L, () =>
    {
        if (_final is null)
        {
            Ask(_modes[random.Next(_modes.Length)]);
            Begin();
        }
    });

    /// <summary>From now on he wants only this.</summary>
    public void Insist(KeyspaceMode mode)
    {
        bool isNew = _final is null;
        _final = mode;
        if (isNew)
        {
            AskAgain();
        }
    }

    /// <summary>
    /// Every replica that is there has the mode, in the same epoch, and nothing of a change is left. A leader says so: what replicas have applied is not all, as long as the log may hold a change that they have not.
    /// </summary>
    public bool IsSettled
    {
        get
        {
            IReadOnlyList<SimulatedNode> nodes = cluster.Usable;
            return cluster.Leader is { } leader && leader.Replica!.StaysIn(_final!.Value) && nodes.All(node => node.Replica?.Describe() is { Fenced: "", Switch: { IsLate: false, IsOpening: false } } status
                && status.Current.Kind != RegimeKind.Closing
                && status.OverlayKeys == 0
                && status.Current.Mode == _final
                && status.Current.Epoch == nodes[0].Replica!.CurrentRegime.Epoch);
        }
    }

    /// <summary>Looks again and again, as a node does for what the catalog wants: once is not enough, because what he asked for earlier may come late.</summary>
    private void AskAgain()
    {
        if (!IsSettled)
        {
            Ask(_final!.Value);
        }

        cluster.Timeline.After(500_000, AskAgain);
    }

    private void Ask(KeyspaceMode wanted)
    {
        // Now and then whoever comes first: it must refuse, or be a leader that does not know yet that it is none any more.
        SimulatedNode? node = random.Next(5) == 0 ? cluster.Nodes[random.Next(cluster.Nodes.Count)] : cluster.Leader;
        if (node is null)
        {
            return;
        }

        cluster.Trace.Add("ask for a mode", node.Index, (ulong)wanted.Partition, (ulong)wanted.Replication);
        cluster.Trace.Count($"asked for {wanted.Partition}");
        cluster.Ask(node, "change mode", (replica, handle, nowMs) => replica.ChangeMode(handle, wanted, nowMs + PatienceMs), (by, answer) =>
        {
            if (answer.Outcome != Outcome.Done)
            {
                return;
            }

            Done++;
            cluster.Trace.Count($"changed to {wanted.Partition}");
            // The next change may have been applied in the same step.
            if (by.Replica is { } replica && replica.CurrentRegime.Epoch == answer.Epoch && (replica.CurrentRegime.Mode != wanted || replica.CurrentRegime.Kind == RegimeKind.Closing))
            {
                throw new SimulationFailedException(SimulationFailedException.Answers, $"{by.Id} says that the shard is {wanted} now, and it is {replica.CurrentRegime}.");
            }
        });
    }
}

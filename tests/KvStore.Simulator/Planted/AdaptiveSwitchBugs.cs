using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Overlays;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>A bug of a shard that is switched to adaptive and from it, with writes that wait outside the log.</summary>
internal abstract class AdaptiveSwitchBug : PlantedBug
{
    public override ScenarioKind Kind => ScenarioKind.DialAdaptive;

    /// <summary>Three nodes under many faults and a busy load, and a view that is sealed at every tick.</summary>
    public override ScenarioSettings Adjust(ScenarioSettings drawn) => drawn with
    {
        Nodes = 3,
        FaultEveryMs = 1_200,
        MaxThinkUs = 100_000,
        OperationsPerClient = 200,
        Replica = drawn.Replica with { SealTicks = 1 },
    };
}

/// <summary>Provisional service forgets whose write it took.</summary>
internal sealed class ProvisionalWithoutRequest : AdaptiveSwitchBug
{
    public override string Name => "provisional-without-request";

    public override string StandsFor => "An overlay that doesn't keep the requests behind its writes: one that the log has applied as well comes a second time with the merge, or when the overlay joins an open shard (C6).";

    public override string ExpectedBy => "OneDotPerValue";

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.IsWrite && node.Replica is { IsProvisional: true })
        {
            operation.Request = RequestId.None;
        }
    }
}

/// <summary>The requests behind an overlay are in memory only.</summary>
internal sealed class OverlayRequestsUnsaved : AdaptiveSwitchBug
{
    public override string Name => "overlay-requests-unsaved";

    public override string StandsFor => "The requests behind an overlay are not on the disk: after a restart nothing filters what the log has applied for them already, in a merge or when the shard opens (C6).";

    public override string ExpectedBy => "OneDotPerValue";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Stripper(storage);

    private sealed class Stripper(IReplicaStorage inner) : StorageDecorator(inner)
    {
        // What else is kept of an overlay stands under a key, or behind a mark, of its own.
        private byte[]? _stripped;

        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            _stripped = null;
            if (space == RecordSpace.Overlay && key.Length > 1)
            {
                OverlayRecord whole = OverlayRecord.Decode(record);
                var output = new ArrayBufferWriter<byte>();
                new OverlayRecord(whole.Key, whole.Object, whole.Dots.ToArray(), [], whole.Epoch, whole.SinceMs).Encode(output);
                _stripped = output.WrittenSpan.ToArray();
                record = _stripped;
            }

            Inner.Put(space, key, record);
        }

        // The log's record follows the view's at once.
        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) =>
            kind == LogRecordKind.Overlay && _stripped is { } stripped
                ? Inner.Append(kind, term, index, (byte[])[payload[0], .. stripped], urgency)
                : Inner.Append(kind, term, index, payload, urgency);
    }
}

/// <summary>What waits outside the log is not part of the view.</summary>
internal sealed class OverlayLeftBehind : AdaptiveSwitchBug
{
    public override string Name => "overlay-left-behind";

    public override string StandsFor => "A view without what waits to be merged: a replica that restarts before a switch, or after it, hands nothing in and absorbs nothing, and acknowledged writes are gone.";

    public override string ExpectedBy => "AcknowledgedSwitchedWrites";

    /// <summary>Restarts while something waits are what it takes, and disks that are never lost: otherwise a write that one replica has acknowledged doesn't count.</summary>
    public override ScenarioSettings Adjust(ScenarioSettings drawn) => base.Adjust(drawn) with { ReplacesDisk = false, FaultEveryMs = 600, OperationsPerClient = 400 };

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Forgetful(storage);

    private sealed class Forgetful(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.Overlay)
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>Stands between a replica and its storage, and tells <see cref="OverlayWatch"/> what is written outside the log, and what is merged.</summary>
internal sealed class OverlayRecorder(IReplicaStorage inner, OverlayWatch watch) : StorageDecorator(inner)
{
    public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
    {
        if (kind == LogRecordKind.Overlay)
        {
            watch.OnWritten(payload.ToArray());
        }

        return Inner.Append(kind, term, index, payload, urgency);
    }

    public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        if (space == RecordSpace.Data)
        {
            RecordLookup lookup = Inner.Find(space, key, out ReadOnlyMemory<byte> before);
            watch.OnApplied(key.ToArray(), lookup == RecordLookup.Found ? before : default, record);
        }

        Inner.Put(space, key, record);
    }
}

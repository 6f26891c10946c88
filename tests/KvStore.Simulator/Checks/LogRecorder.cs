using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>Stands between a replica and its storage, and tells <see cref="LogsAgree"/> what the replica writes.</summary>
internal sealed class LogRecorder(SimulatedNode node, IReplicaStorage inner, LogsAgree logs) : StorageDecorator(inner)
{
    public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
    {
        logs.OnAppend(node, kind, term, index, payload);
        return Inner.Append(kind, term, index, payload, urgency);
    }
}

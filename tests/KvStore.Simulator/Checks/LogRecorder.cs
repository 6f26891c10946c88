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

    public override void CommitInstall(in ViewPosition position)
    {
        // From here on what was in the log is void; its record follows when the switch is durable.
        logs.Of(node).Restart(position.Applied, position.AppliedTerm);
        Inner.CommitInstall(position);
    }
}

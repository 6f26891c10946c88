using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The path of a client's write in the open regime: the stored object is looked up (loaded first, if need be), a dot is minted, the change goes into log and view, the filled object goes to the other replicas, and the answer
/// waits with <see cref="OpenAcknowledgements"/>.
/// </summary>
internal sealed class OpenWrites(
    RegimeState regimes,
    ReplicaPlaces places,
    ReplicaOptions options,
    ReplicaClock clock,
    DottedJournal journal,
    RecordLoader loader,
    OpenHealing healing,
    OpenSessions sessions,
    OpenMint mint,
    OpenPublisher publisher,
    OpenExpirer expirer,
    ConflictSweeper? sweeper,
    OpenAcknowledgements acknowledgements,
    CompletionSink completions)
{
    public void Submit(in ClientOperation operation)
    {
        VersionVector? context = null;
        if (operation.Condition == WriteCondition.InContext)
        {
            try
            {
                // No version is the context of who has seen nothing: the value joins whatever is there.
                context = operation.Version.IsEmpty ? VersionVector.Empty : ContextOf(operation.Version);
            }
            catch (MalformedRecordException)
            {
                completions.Refuse(operation, RefusalCode.InvalidArgument, "The version is none of this keyspace's: pass one back as a read of the same keyspace returned it.");
                return;
            }
        }

        if (!journal.TryFind(operation.Key.Span, out DottedObject stored))
        {
            LoadFirst(operation);
            return;
        }

        if (acknowledgements.TryAnswerRepeated(operation))
        {
            return;
        }

        if (healing.IsClosing)
        {
            RefuseClosing(operation);
            return;
        }

        if (operation.Epoch.Value != 0 && operation.Epoch < regimes.Epoch)
        {
            completions.RefuseForEpoch(operation);
            return;
        }

        if (sweeper is not null && operation.Kind is (OperationKind.Put or OperationKind.Increment) && Math.Abs(clock.OffsetMs) > options.MaxClockDriftMs)
        {
            completions.Refuse(
                operation,
                RefusalCode.ClockSkew,
                $"This node's clock is {Math.Abs(clock.OffsetMs)} ms {(clock.OffsetMs > 0 ? "ahead of" : "behind")} its peers', and at most {options.MaxClockDriftMs} ms are allowed where the newest of concurrent writes wins. "
                    + "Write through another node, and set the clock right (NTP).");
            return;
        }

        if (!sessions.HasRoom(operation))
        {
            completions.Refuse(operation, RefusalCode.TooLarge, OpenSessions.TooLong);
            return;
        }

        if (context is not null && journal.Memory is { } memory && stored.SizeOfValues + operation.Value.Length > memory.MaxBytes / 2)
        {
            completions.Refuse(
                operation,
                RefusalCode.MemoryFull,
                $"The key's concurrent values would take more than half of the {memory.MaxBytes} bytes that this shard may use; read it and write in that context, or put one value in the place of all.");
            return;
        }

        bool wantsAcknowledgements = regimes.Replication == Replication.Sync && places.Peers.Length > 0;
        DottedWrite written = mint.Mint(operation, context, stored, wantsAcknowledgements ? acknowledgements.Next : 0);
        switch (written.Status)
        {
            case DottedWriteStatus.Written:
                Await(operation, written);
                break;
            case DottedWriteStatus.Repeated:
                acknowledgements.AwaitCountedElsewhere(operation, written);
                break;
            default:
                mint.Refuse(operation, written.Status);
                break;
        }
    }

    /// <summary>On its own, because what a lambda captures is put on the heap at the beginning of its method: <see cref="Submit"/> would do so for every write.</summary>
    private void LoadFirst(ClientOperation operation) => loader.Load(RecordSpace.Data, operation.Key.Span, () => Submit(operation));

    private void RefuseClosing(in ClientOperation operation) =>
        completions.Refuse(operation, RefusalCode.Switching, "The keyspace is on its way from ap to cp, and its replicas become equal; try again in a moment.");

    private void Await(in ClientOperation operation, in DottedWrite written)
    {
        publisher.Publish(written, regimes.Replication == Replication.BestEffort ? SyncUrgency.Lazy : SyncUrgency.Now);
        expirer.OnWritten(written.Change, written.Dot);
        acknowledgements.Await(operation, written);
    }

    /// <summary>A version that was read while the log wrote stands for what the log had written up to its index.</summary>
    private static VersionVector ContextOf(ReadOnlyMemory<byte> version) =>
        KvStateMachine.TryReadVersion(version.Span, out LogIndex index) ? VersionVector.Of(Dot.OfLog(index)) : ObjectVersion.Decode(version).Context;
}

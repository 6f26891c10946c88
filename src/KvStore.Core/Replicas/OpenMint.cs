using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>What a client's write comes to in the open regime: the dotted write that is minted for it, or the words in which it is refused.</summary>
internal sealed class OpenMint(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    ReplicaOptions options,
    ReplicaClock clock,
    DottedReplica dotted,
    OpenHealing healing,
    OpenExpirer expirer,
    ConflictSweeper? sweeper,
    CompletionSink completions)
{
    /// <param name="operation">A put, a delete or an increment.</param>
    /// <param name="context">What it supersedes; null: all that is here.</param>
    /// <param name="stored">The key's object.</param>
    /// <param name="number">Comes back with the acknowledgements of other replicas; zero: none are wanted.</param>
    public DottedWrite Mint(in ClientOperation operation, VersionVector? context, DottedObject stored, ulong number)
    {
        var key = new Key(operation.Key);

        // Not "condition ? value : null": that null would become an empty value on its way, and a delete would store it.
        ReadOnlyMemory<byte>? value = operation.Kind == OperationKind.Put ? new ReadOnlyMemory<byte>?(operation.Value) : null;
        HybridTimestamp timestamp = clock.Hybrid.Now((long)clock.WallMs, options.MaxClockDriftMs);
        ulong ttlMs = operation.EffectiveTtlMs(descriptor.DefaultTtlMs);
        var lifetime = new Lifetime(expirer.NowFor(key.Span), ttlMs == 0 ? 0 : (ulong)timestamp.PhysicalMs + ttlMs);
        if (operation.Kind == OperationKind.Increment)
        {
            if (operation.MayHaveHappened && !DottedCounter.HasCounted(stored, operation.Request))
            {
                return DottedWrite.Refused(DottedWriteStatus.Untold);
            }

            // Where the newest wins, nobody sees a value that lost: it does not stand in the way of a counter either.
            DottedObject shown = sweeper is not null && stored.SiblingCount > 1 ? sweeper.Drop(key, stored) : stored;
            return dotted.Increment(key, shown, descriptor.Self.Replica, IsRetired, operation.Delta, operation.Request, timestamp, number, lifetime);
        }

        if (context is null)
        {
            return dotted.Write(key, stored, value, timestamp, number, lifetime, operation.Request);
        }

        DottedWrite written = dotted.WriteInContext(key, stored, context, value, timestamp, number, lifetime, operation.Request);

        // Nobody sees the losers, so nobody is refused because of them.
        return written.Status == DottedWriteStatus.TooManySiblings && sweeper is not null
            ? dotted.WriteInContext(key, sweeper.Drop(key, stored), context, value, timestamp, number, lifetime, operation.Request)
            : written;
    }

    /// <summary>Answers an operation for which nothing was minted.</summary>
    public void Refuse(in ClientOperation operation, DottedWriteStatus status)
    {
        switch (status)
        {
            case DottedWriteStatus.TooManySiblings:
                completions.Refuse(
                    operation, RefusalCode.TooManySiblings, $"The key has {DottedOptions.Default.MaxSiblings} concurrent values; read it and write in that context.");
                break;
            case DottedWriteStatus.WrongType:
                completions.Refuse(operation, RefusalCode.WrongType, "The key holds a value that is no counter; delete it first, or count under another key.");
                break;
            case DottedWriteStatus.Overflow:
                completions.Refuse(operation, RefusalCode.InvalidArgument, "The increment would take the counter out of the range of 64 bits.");
                break;
            case DottedWriteStatus.Untold:
                completions.Unknown(
                    operation.Handle,
                    RefusalCode.RequestExpired,
                    "This replica can't tell whether the first attempt was counted, and does not count it again. Read the counter before deciding.");
                break;
            default:
                if (dotted.IsRecovering)
                {
                    completions.Refuse(operation, RefusalCode.Recovering, "The version speaks of writes that this replica has not got yet; try again in a moment.");
                    break;
                }

                completions.Refuse(
                    operation,
                    RefusalCode.InvalidArgument,
                    "The version speaks of writes that this shard never made; pass one back as a read of the same keyspace returned it.");
                break;
        }
    }

    /// <summary>
    /// Whether this replica may carry the total of an actor, its own in an earlier life, over into its present one: all peers have told since the start what they know, and nothing of it is missing here.
    /// </summary>
    private bool IsRetired(ActorId actor)
    {
        foreach (NodeId peer in places.Peers)
        {
            if (!healing.IsWhole(peer))
            {
                return false;
            }
        }

        return dotted.HasAllThatIsKnownOf(actor);
    }
}

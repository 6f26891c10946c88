using KvStore.Core.Eventual;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// What a session has seen with an answer of an open replica. A read has seen the whole clock, because an absent key says as much as a value. A write has seen its own dot, and no more. Writers of whom
/// every replica has everything are left out: that keeps positions small, and a replica that lost what it had is recovering and serves no session that has seen anything.
/// </summary>
internal sealed class OpenSessions(RegimeState regimes, DottedReplica dotted)
{
    public const string TooLong =
        "The session's token would exceed 4,096 bytes for this shard: too many writers are not known to be on every replica, because one has been away for long. Begin a new session.";

    /// <summary>Room for one more dot: an actor and a counter in their longest forms, and the frame of a row.</summary>
    private const int MaxBytesPerDot = 32;

    /// <summary>Whether a write's answer will fit: what was sent is the most that can be in it, but for the dot.</summary>
    public bool HasRoom(in ClientOperation operation) =>
        operation.Session.Length + MaxBytesPerDot <= SessionPosition.MaxBytes || SentBy(operation).Beyond(dotted.Everywhere).ToBytes().Length + MaxBytesPerDot <= SessionPosition.MaxBytes;

    /// <summary>After a write of this dot.</summary>
    public ReadOnlyMemory<byte> After(in ClientOperation operation, Dot dot)
    {
        if (operation.Session.IsEmpty)
        {
            return default;
        }

        // Exactly this dot: an earlier one of the same actor may have been lost by everybody.
        var seen = new ShardClock();
        seen.Add(dot);
        return Encode(operation, seen);
    }

    /// <summary>After a read of this replica as it stands. May be too long.</summary>
    public ReadOnlyMemory<byte> Now(in ClientOperation operation) => operation.Session.IsEmpty ? default : Encode(operation, dotted.Clock.RowsBeyond(dotted.Everywhere));

    /// <summary>After a read that joined what several replicas hold: what of it is not here is in the joined context, which names more than was read, never less.</summary>
    public ReadOnlyMemory<byte> Joined(in ClientOperation operation, VersionVector context)
    {
        if (operation.Session.IsEmpty)
        {
            return default;
        }

        ShardClock seen = dotted.Clock.RowsBeyond(dotted.Everywhere);
        foreach (Dot last in context.Entries)
        {
            if (dotted.Clock.BaseOf(last.Actor) < last.Counter)
            {
                seen.AdvanceBase(last.Actor, last.Counter);
            }
        }

        return Encode(operation, seen);
    }

    private ReadOnlyMemory<byte> Encode(in ClientOperation operation, ShardClock seen) =>
        SentBy(operation).Join(SessionPosition.OfDots(regimes.Epoch, seen)).Beyond(dotted.Everywhere).ToBytes();

    /// <summary>The gate has read it before, so it is well formed.</summary>
    private static SessionPosition SentBy(in ClientOperation operation) => SessionPosition.Decode(operation.Session);
}

using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// What a session has seen with a provisional answer: a place in the log, as far as this replica has applied it, and dots of the overlay. Once they are merged the log accounts for them, and a session that holds them is
/// served again on every side; until then the other side is behind it, and says so.
/// </summary>
internal sealed class ProvisionalSessions(RegimeState regimes, ViewState view, Overlay overlay)
{
    /// <summary>After a read of the applied state with the overlay on top.</summary>
    public ReadOnlyMemory<byte> Now(in ClientOperation operation) => operation.Session.IsEmpty ? default : Encode(operation, overlay.Known());

    /// <summary>After a write of this dot.</summary>
    public ReadOnlyMemory<byte> After(in ClientOperation operation, Dot dot)
    {
        if (operation.Session.IsEmpty)
        {
            return default;
        }

        var seen = new ShardClock();
        seen.Add(dot);
        return Encode(operation, seen);
    }

    private ReadOnlyMemory<byte> Encode(in ClientOperation operation, ShardClock seen) => SessionPosition.Decode(operation.Session)
        .Join(SessionPosition.OfLog(regimes.Epoch, view.AppliedTerm, view.Applied))
        .Join(SessionPosition.OfDots(regimes.Epoch, seen))
        .ToBytes();
}

using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Expires the keys of an open shard by dotted deletes that supersede exactly the values whose time is over: a concurrent refresh survives. The replica that had minted the value does it; when that one does not, the
/// first of those that can be reached, by their nodes' order, after a grace. Two that do it at once do no harm.
/// </summary>
internal sealed class OpenExpirer(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    PeerReachability peers,
    ExpiryIndex expiries,
    ExpiryScan scan,
    IReplicaStorage storage,
    RecordLoader loader,
    ReplicaClock clock,
    DottedReplica dotted,
    DottedJournal journal,
    OpenPublisher publisher)
{
    /// <summary>Keys that one tick looks at: 5,000 a second.</summary>
    private const int MaxPerTick = 128;

    /// <summary>How long each replica leaves it to the one before it.</summary>
    private const long GraceMs = 2_000;

    private const long LookAgainMs = 1_000;

    /// <summary>The wall clock may be set forward meanwhile.</summary>
    private const ulong LongestWaitMs = 60_000;

    /// <summary>Whether anything may be minted: what a closing replica has reported must not grow, and what the log has taken over is not touched.</summary>
    public Func<bool> MayMint { get; set; } = () => true;

    public bool IsQuiet => scan.IsIdle;

    /// <summary>By which time values of a key count as expired: zero, none, while this replica knows that their time is not over.</summary>
    public ulong NowFor(ReadOnlySpan<byte> key) => expiries.MayHaveExpired(key) ? clock.WallMs : 0;

    /// <summary>The object of a key has changed.</summary>
    public void OnChanged(in DottedChange change)
    {
        DottedObject shown = Shown(change.Stored);
        if (shown.NextExpiryMs is > 0 and var next)
        {
            expiries.MarkUse(storage);
            expiries.NoteFound(change.Key.Span, next, ExpiryScan.TtlOf(shown, next));
        }
        else
        {
            expiries.Remove(change.Key.Span);
        }
    }

    /// <summary>The change is a write that was made just now, here or where it came from.</summary>
    public void OnWritten(in DottedChange change, Dot dot)
    {
        ulong next = Shown(change.Stored).NextExpiryMs;
        foreach (ref readonly DottedValue value in change.Stored.Values)
        {
            if (next != 0 && value.Dot == dot && value.ExpiresMs == next)
            {
                expiries.NoteWritten(change.Key.Span, value.ExpiresMs, value.TtlMs);
            }
        }
    }

    public void OnTick()
    {
        scan.OnTick();
        for (int looked = 0; looked < MaxPerTick && expiries.TryPeek(out Key key); looked++)
        {
            expiries.LookAgain(key.Span, LookAgainMs);
            if (!dotted.IsRecovering)
            {
                Look(key, mayLoad: true);
            }
        }
    }

    private void Look(Key key, bool mayLoad)
    {
        if (!MayMint())
        {
            // It waited for the disk. The key is due to be looked at again in any case, by whoever has the data then.
            return;
        }

        if (!journal.TryFind(key.Span, out DottedObject stored))
        {
            if (mayLoad)
            {
                loader.Load(RecordSpace.Data, key.Span, () => Look(key, mayLoad: false));
            }

            return;
        }

        DottedObject shown = Shown(stored);
        ulong next = shown.NextExpiryMs;
        if (next == 0)
        {
            expiries.Remove(key.Span);
            return;
        }

        if (next > clock.WallMs)
        {
            expiries.LookAgain(key.Span, (long)Math.Min(next - clock.WallMs, LongestWaitMs));
            return;
        }

        long patience = WasMintedHere(stored) ? 0 : GraceMs * (1 + PeersBefore());
        long overdue = (long)(clock.WallMs - next);
        if (overdue < patience)
        {
            expiries.LookAgain(key.Span, patience - overdue);
        }
        else if (dotted.Expire(key, stored, shown.AliveAt(clock.WallMs)) is { } written)
        {
            publisher.Publish(written, SyncUrgency.Lazy);
        }
    }

    /// <summary>Where the newest value wins, only that one counts: when it expires, nothing older comes to light again.</summary>
    private DottedObject Shown(DottedObject stored) => descriptor.Conflicts == ConflictRule.LastWriterWins ? stored.KeepWinner() : stored;

    private bool WasMintedHere(DottedObject stored)
    {
        foreach (ref readonly DottedValue value in stored.Values)
        {
            if (value.ExpiresMs != 0 && value.ExpiresMs <= clock.WallMs && value.Dot.Actor == dotted.Self)
            {
                return true;
            }
        }

        return false;
    }

    private int PeersBefore()
    {
        int before = 0;
        foreach (NodeId peer in places.Peers)
        {
            before += peer.Value < descriptor.Self.Node.Value && peers.IsReachable(peer) ? 1 : 0;
        }

        return before;
    }
}

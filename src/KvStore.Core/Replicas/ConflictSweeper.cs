using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Last-writer-wins: drops the values that lost, in the background, each time by a dotted write that keeps the winner as it is (<see cref="DottedReplica.DropLosers"/>). Reads show the winner long before.
/// </summary>
/// <remarks>
/// One replica sweeps: the first in placement order that can be reached and is whole. The others keep the keys in mind and take over when it is gone. Where two believe that it is their turn, both drop the same losers:
/// the objects are equal afterwards, and nobody has anything left to sweep. Which keys there are follows from the view (<see cref="RecordSpace.Conflicts"/>), so a restart, or more of them than fit here, forgets none.
/// </remarks>
internal sealed class ConflictSweeper(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    ReplicaOptions options,
    ReplicaClock clock,
    DottedReplica dotted,
    DottedJournal journal,
    OpenHealing healing,
    RecordLoader loader,
    OpenPublisher publisher,
    PeerReachability peers)
{
    /// <summary>Work of one tick: a sweep is a write to every replica, and must not crowd out the clients'.</summary>
    private const int KeysPerTick = 32;

    /// <summary>Keys in mind; more are found again in the view.</summary>
    private const int MaxWaiting = 10_000;

    private const int ScanRecords = 1_000;

    private readonly Queue<(Key Key, long DueMs)> _waiting = new();
    private readonly HashSet<Key> _known = [];
    private ReadOnlyMemory<byte> _scannedThrough;
    private bool _scanDue = true;
    private bool _scanning;

    /// <summary>Values dropped by this replica since its start.</summary>
    public long LosersDropped { get; private set; }

    public bool IsQuiet => _known.Count == 0 && !_scanDue && !_scanning;

    /// <summary>A record has changed.</summary>
    public void OnChanged(in DottedChange change)
    {
        if (change.Stored.SiblingCount > 1)
        {
            Await(Key.CopyOf(change.Key.Span));
        }
    }

    public void OnTick()
    {
        if (_scanDue && !_scanning && _waiting.Count == 0)
        {
            Scan();
        }

        for (int left = KeysPerTick; left > 0 && _waiting.TryPeek(out (Key Key, long DueMs) next) && next.DueMs <= clock.NowMs; left--)
        {
            _waiting.Dequeue();
            Settle(next.Key);
        }
    }

    /// <summary>Drops the losers of a key now.</summary>
    /// <returns>What is stored afterwards.</returns>
    public DottedObject Drop(Key key, DottedObject stored)
    {
        DottedWrite write = dotted.DropLosers(key, stored);
        LosersDropped += stored.SiblingCount - 1;
        publisher.Publish(write, SyncUrgency.Lazy);
        return write.Change.Stored;
    }

    private void Settle(Key key)
    {
        if (!journal.TryFind(key.Span, out DottedObject stored))
        {
            loader.Load(RecordSpace.Data, key.Span, () => Settle(key));
            return;
        }

        _known.Remove(key);
        if (stored.SiblingCount < 2)
        {
            return;
        }

        if (IsMyTurn())
        {
            Drop(key, stored);
        }
        else
        {
            Await(key);
        }
    }

    private void Await(Key key)
    {
        if (_known.Contains(key))
        {
            return;
        }

        if (_known.Count >= MaxWaiting)
        {
            _scanDue = true;
            return;
        }

        // What is still on its way comes first: a sweep for each of several arrivals would be a write too many.
        _known.Add(key);
        _waiting.Enqueue((key, clock.NowMs + options.SweepGraceMs));
    }

    private bool IsMyTurn()
    {
        // What a closing replica has reported must not grow.
        if (dotted.IsRecovering || healing.IsClosing)
        {
            return false;
        }

        foreach (ReplicaPlace place in places.Members.Places)
        {
            if (place.Replica == descriptor.Self.Replica)
            {
                return true;
            }

            if (peers.IsReachable(place.Node) && healing.IsWhole(place.Node))
            {
                return false;
            }
        }

        return true;
    }

    private void Scan()
    {
        _scanning = true;
        journal.Scan(RecordSpace.Conflicts, default, _scannedThrough, ScanRecords, options.ScanPageBytes, page =>
        {
            _scanning = false;
            _scanDue = page.More;
            _scannedThrough = page.More ? page.Records[^1].Key : default;
            foreach (ScannedRecord record in page.Records)
            {
                Await(new Key(record.Key));
            }
        });
    }
}

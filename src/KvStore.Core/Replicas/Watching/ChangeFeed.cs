using KvStore.Core.Consensus;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

/// <summary>
/// Notes the changes of one replica, in the order in which it makes them: those of applied entries at once, since they are committed; those of an open period when they are durable here, so that no watch tells of a write that a
/// crash takes back. The loop takes them after each turn.
/// </summary>
/// <remarks>
/// How often an entry has changed something must be the same on every replica, because it is part of positions: so each put or removal counts, whether or not a reader could see it.
/// </remarks>
internal sealed class ChangeFeed(ShardDescriptor descriptor, ReplicaOptions options, ReplicaClock clock, ViewState view, RegimeState regimes)
{
    private readonly List<ShardChange> _ready = [];
    private readonly Queue<(ulong Number, ShardChange Change)> _held = new();
    private LogPlace _entry;
    private bool _isExpiry;
    private int _ordinal;
    private bool _suspended;

    /// <summary>How many changes were noted since the start: the number of the next one in a <see cref="ChangeWindow"/> that gets them all.</summary>
    public long Noted { get; private set; }

    public bool HasChanges => _ready.Count > 0;

    public void MoveTo(List<ShardChange> target)
    {
        target.AddRange(_ready);
        _ready.Clear();
    }

    /// <summary>What is put and removed until <see cref="EndEntry"/> is the doing of this entry.</summary>
    public void BeginEntry(in Entry entry)
    {
        _entry = new LogPlace(entry.Term, entry.Index);
        _isExpiry = WriteCommand.IsExpiryEntry(entry.Payload.Span);
        _ordinal = 0;
    }

    public void EndEntry()
    {
        if (_ordinal > 0)
        {
            // With the last change all of the entry is told, and that is how a position says it.
            _ready[^1].Ordinal = 0;
        }

        _entry = default;
    }

    /// <summary>The entry has changed what a key holds.</summary>
    /// <param name="key">Copied.</param>
    /// <param name="before">What it held; null where that is not known.</param>
    /// <param name="record">What it holds; empty: nothing.</param>
    public void OnApplied(ReadOnlySpan<byte> key, ReadOnlyMemory<byte>? before, ReadOnlyMemory<byte> record)
    {
        ShardChangeKind kind = KindOf(before, record);
        Add(new ShardChange
        {
            Kind = kind,
            Key = Key.CopyOf(key),
            Record = kind == ShardChangeKind.Put ? record : default,
            Epoch = regimes.Epoch,
            Place = _entry,
            Ordinal = ++_ordinal,
        });
    }

    /// <summary>A change of an open period; told when it is durable.</summary>
    public void OnDotted(in DottedChange change, bool isRecovering)
    {
        if (isRecovering)
        {
            // A copy brings values without saying which writes they are. When it is whole, watches begin anew.
            _suspended = true;
            return;
        }

        ShardChangeKind kind = KindOf(change);
        Hold(change.Number, new ShardChange
        {
            Kind = kind,
            Key = Key.CopyOf(change.Key.Span),
            Record = change.StoredRecord,
            Epoch = regimes.Epoch,
            Dot = change.Dot,
            MoreDots = change.MoreDots,
        });
    }

    /// <summary>A replica in memory has let an object go.</summary>
    public void OnEvicted(Key key, DottedObject evicted, ulong number)
    {
        if (!evicted.IsEmpty)
        {
            Hold(number, new ShardChange { Kind = ShardChangeKind.Evicted, Key = Key.CopyOf(key.Span), Epoch = regimes.Epoch });
        }
    }

    /// <summary>Changes of an open period are durable up to this number.</summary>
    public void OnDurable(ulong number)
    {
        while (_held.TryPeek(out (ulong Number, ShardChange Change) next) && next.Number <= number)
        {
            _ready.Add(_held.Dequeue().Change);
        }
    }

    /// <summary>The regime has changed; the entry counts as applied.</summary>
    public void OnRegimeChanged(ShardRegime before)
    {
        // What the shard was ordered from is durable on a majority.
        OnDurable(ulong.MaxValue);
        if (before.IsOrdered != regimes.IsOrdered)
        {
            var place = new LogPlace(view.AppliedTerm, view.Applied);
            Add(regimes.IsOrdered
                ? new ShardChange { Kind = ShardChangeKind.Ordered, Epoch = regimes.Epoch, Place = place }
                : new ShardChange { Kind = ShardChangeKind.Opened, Epoch = regimes.Epoch, Place = place, Clock = regimes.ClockAtOpening().Without(ActorId.Log) });
        }
    }

    /// <summary>The view stands where it stands, and nobody knows what came before.</summary>
    /// <param name="seen">Of an open shard: the clock of the data. Not kept.</param>
    public void Reset(ShardClock? seen)
    {
        _suspended = false;

        // What nobody will get has no number.
        Noted -= _held.Count + _ready.Count;
        _held.Clear();
        _ready.Clear();
        bool open = !regimes.IsOrdered;
        Add(new ShardChange
        {
            Kind = ShardChangeKind.Reset,
            Epoch = regimes.Epoch,
            IsOpen = open,
            Place = open ? new LogPlace(Term.Zero, regimes.Current.Episode) : new LogPlace(view.AppliedTerm, view.Applied),
            Clock = open ? (seen ?? regimes.ClockAtOpening()).Without(ActorId.Log) : null,
        });
    }

    /// <summary>At the end of a turn: a full copy may have come to its end.</summary>
    public void OnTurnEnds(DottedReplica? dotted)
    {
        if (_suspended && dotted is not { IsRecovering: true })
        {
            Reset(dotted?.Clock);
        }
    }

    /// <summary>Says how far the log has been applied, though it may have changed nothing: a reader may be waiting for that.</summary>
    public void Mark()
    {
        if (regimes.IsOrdered && view.Applied > LogIndex.Zero)
        {
            Add(new ShardChange { Kind = ShardChangeKind.Silent, Epoch = regimes.Epoch, Place = new LogPlace(view.AppliedTerm, view.Applied) });
        }
    }

    private void Hold(ulong number, ShardChange change)
    {
        Noted++;
        _held.Enqueue((number, change));
    }

    private void Add(ShardChange change)
    {
        Noted++;
        _ready.Add(change);
    }

    private ShardChangeKind KindOf(ReadOnlyMemory<byte>? before, ReadOnlyMemory<byte> record)
    {
        if (OrderedRecord.IsOrdered(record.Span))
        {
            return ShardChangeKind.Put;
        }

        DottedObject now = record.IsEmpty ? DottedObject.Empty : DottedObject.Decode(record);
        if (before is { } known)
        {
            DottedObject held = known.IsEmpty ? DottedObject.Empty : DottedObject.Decode(known);
            if (held.Values.SequenceEqual(now.Values))
            {
                return ShardChangeKind.Silent;
            }
        }

        return !now.IsEmpty ? ShardChangeKind.Put : _isExpiry ? ShardChangeKind.Expired : ShardChangeKind.Deleted;
    }

    private ShardChangeKind KindOf(in DottedChange change)
    {
        bool onlyWinner = descriptor.Conflicts == ConflictRule.LastWriterWins;
        DottedObject before = onlyWinner ? change.Before.KeepWinner() : change.Before;
        DottedObject after = onlyWinner ? change.Stored.KeepWinner() : change.Stored;
        if (before.Values.SequenceEqual(after.Values))
        {
            return ShardChangeKind.Silent;
        }

        return !after.IsEmpty ? ShardChangeKind.Put : HasExpired(before) ? ShardChangeKind.Expired : ShardChangeKind.Deleted;
    }

    /// <summary>
    /// A dotted delete doesn't say why. Where all that it removed was past its time, it was an expiry, or might as well have been; the replica that minted it may have a clock that is a little ahead.
    /// </summary>
    private bool HasExpired(DottedObject removed)
    {
        ulong nowMs = clock.WallMs + (ulong)options.MaxClockDriftMs;
        return removed.AliveAt(nowMs).IsEmpty;
    }
}

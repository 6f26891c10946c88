using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// When which keys of a replica may expire. Only a reminder: whoever acts on it looks at the record first. In memory, at most <see cref="Capacity"/> keys, the nearest ones; when half of them are gone, the rest are
/// found by another scan of the view, as after a start.
/// </summary>
/// <remarks>
/// Two clocks must agree before anything expires. The expiry stands in the record, by the wall clock of who wrote it. A replica that saw the write as it was made also waits until the whole time to live has passed
/// on its own monotonic clock: a wall clock that jumps forward then takes nothing away early. For what it finds on its disk, or copies from others, it has to trust the wall clock.
/// </remarks>
internal sealed class ExpiryIndex(ReplicaClock clock)
{
    /// <summary>Keys remembered; about 150 bytes each, and the key.</summary>
    public const int Capacity = 262_144;

    private readonly Dictionary<Key, Reminder> _reminders = new(KeyComparer.Instance);
    private readonly SortedSet<(long LookMs, Key Key)> _order = [];
    private readonly int _capacity = Capacity;
    private bool _dropped;

    /// <summary>For tests: with a smaller capacity.</summary>
    internal ExpiryIndex(ReplicaClock clock, int capacity)
        : this(clock) => _capacity = capacity;

    public int Count => _reminders.Count;

    /// <summary>The view holds, or has held, values that expire: after a start it must be scanned for them.</summary>
    public bool IsInUse { get; private set; }

    /// <summary>Keys were left out for want of room, and there is room again.</summary>
    public bool WantsScan => _dropped && _reminders.Count <= _capacity / 2;

    private static ReadOnlySpan<byte> MarkKey => "expiring"u8;

    /// <summary>A value that this replica saw as it was written: it lives for all its time from now on.</summary>
    public void NoteWritten(ReadOnlySpan<byte> key, ulong expiresMs, ulong ttlMs) => Note(key, expiresMs, clock.NowMs + (long)ttlMs);

    /// <summary>A scan has found a value. What is known of the key already is known better.</summary>
    public void NoteIfUnknown(ReadOnlySpan<byte> key, ulong expiresMs, ulong ttlMs)
    {
        if (!_reminders.GetAlternateLookup<ReadOnlySpan<byte>>().ContainsKey(key))
        {
            NoteFound(key, expiresMs, ttlMs);
        }
    }

    /// <summary>A value that was written some time ago: the wall clock says how long it has to live. If its expiry is the one that was known, nothing changes.</summary>
    public void NoteFound(ReadOnlySpan<byte> key, ulong expiresMs, ulong ttlMs)
    {
        if (!_reminders.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out Reminder known) || known.ExpiresMs != expiresMs)
        {
            Note(key, expiresMs, clock.NowMs + (long)Math.Min(expiresMs - Math.Min(expiresMs, clock.WallMs), ttlMs));
        }
    }

    /// <summary>Puts the mark into the view that <see cref="Restore"/> finds after a restart.</summary>
    public void MarkUse(IReplicaStorage storage)
    {
        if (!IsInUse)
        {
            IsInUse = true;
            storage.Put(RecordSpace.Meta, MarkKey, new byte[] { 1 });
        }
    }

    public void Restore(ReadOnlySpan<byte> metaKey) => IsInUse |= metaKey.SequenceEqual(MarkKey);

    /// <summary>The key holds nothing that expires.</summary>
    public void Remove(ReadOnlySpan<byte> key)
    {
        if (_reminders.Count > 0 && _reminders.GetAlternateLookup<ReadOnlySpan<byte>>().Remove(key, out Key kept, out Reminder reminder))
        {
            _order.Remove((reminder.LookMs, kept));
        }
    }

    /// <summary>Whether what has expired by the wall clock may be taken as expired: false while this replica knows that its time is not over.</summary>
    public bool MayHaveExpired(ReadOnlySpan<byte> key) =>
        !_reminders.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out Reminder reminder) || reminder.DueMs <= clock.NowMs;

    /// <summary>The next key to look at, if its time has come.</summary>
    public bool TryPeek(out Key key)
    {
        if (_order.Count > 0 && _order.Min is var first && first.LookMs <= clock.NowMs)
        {
            key = first.Key;
            return true;
        }

        key = default;
        return false;
    }

    /// <summary>Looks at the key again later; when it may expire does not change by that.</summary>
    public void LookAgain(ReadOnlySpan<byte> key, long afterMs)
    {
        if (_reminders.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out Key kept, out Reminder reminder))
        {
            _order.Remove((reminder.LookMs, kept));
            Reminder later = reminder with { LookMs = clock.NowMs + afterMs };
            _reminders[kept] = later;
            _order.Add((later.LookMs, kept));
        }
    }

    /// <summary>The view has become another one.</summary>
    public void Clear()
    {
        _reminders.Clear();
        _order.Clear();
        _dropped = false;
        IsInUse = false;
    }

    /// <summary>A scan of the whole view begins: what it finds was left out before.</summary>
    public void BeginScan() => _dropped = false;

    private void Note(ReadOnlySpan<byte> key, ulong expiresMs, long dueMs)
    {
        Remove(key);
        if (_reminders.Count == _capacity)
        {
            _dropped = true;
            if (_order.Max.LookMs <= dueMs)
            {
                return;
            }

            Remove(_order.Max.Key.Span);
        }

        Key kept = Key.CopyOf(key);
        _reminders.Add(kept, new Reminder(expiresMs, dueMs, dueMs));
        _order.Add((dueMs, kept));
    }

    /// <param name="ExpiresMs">As it stands in the record.</param>
    /// <param name="DueMs">Nothing of the key expires before, on the monotonic clock.</param>
    /// <param name="LookMs">When to look at it next.</param>
    private readonly record struct Reminder(ulong ExpiresMs, long DueMs, long LookMs);

    private sealed class KeyComparer : IEqualityComparer<Key>, IAlternateEqualityComparer<ReadOnlySpan<byte>, Key>
    {
        public static readonly KeyComparer Instance = new();

        public bool Equals(Key x, Key y) => x.Equals(y);

        public int GetHashCode(Key key) => key.GetHashCode();

        public Key Create(ReadOnlySpan<byte> alternate) => Key.CopyOf(alternate);

        public bool Equals(ReadOnlySpan<byte> alternate, Key other) => alternate.SequenceEqual(other.Span);

        public int GetHashCode(ReadOnlySpan<byte> alternate) => KeyHash.Of(alternate);
    }
}

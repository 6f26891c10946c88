using System.Buffers.Binary;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>How a request stands to what was applied before it.</summary>
internal enum DedupVerdict : byte
{
    /// <summary>Not seen: apply it.</summary>
    New,

    /// <summary>Applied before: answer with the remembered result.</summary>
    Repeated,

    /// <summary>Too old to tell: the client promised never to send it again, or its session was forgotten.</summary>
    Expired,

    /// <summary>The id was used for another write.</summary>
    Reused,

    /// <summary>Too many unfinished requests in the session, or too many sessions: refuse without an effect.</summary>
    Full,
}

/// <summary>
/// Which requests this shard has applied, by client session (Ongaro's thesis, section 6.3). Part of the replicated state: it changes only by applying entries, its records live in the view's
/// Meta space, and they are durable together with the data and travel in snapshots. Grows with sessions, not with operations.
/// </summary>
internal sealed class DedupTable
{
    /// <summary>Sessions remembered per shard. A new one replaces the longest idle, if that one has been idle for <see cref="IdleMs"/>.</summary>
    public const int MaxSessions = 10_000;

    /// <summary>A session may be forgotten after an hour without a write on this shard.</summary>
    public const ulong IdleMs = 3_600_000;

    public static ReadOnlySpan<byte> KeyPrefix => "dedup/"u8;

    private readonly Dictionary<ulong, SessionWindow> _sessions = [];
    private readonly List<SessionWindow> _dirty = [];
    private readonly List<ulong> _forgotten = [];
    private readonly RememberedAnswers _answers = new();

    public int Count => _sessions.Count;

    /// <summary>Looks without changing anything: for the leader, before it proposes.</summary>
    public DedupVerdict Peek(in RequestId request, uint payloadHash, out RememberedResult remembered)
    {
        remembered = RememberedResult.Absent;
        if (request.IsNone || !_sessions.TryGetValue(request.Session, out SessionWindow? window))
        {
            return DedupVerdict.New;
        }

        if (request.Sequence <= window.Floor)
        {
            return DedupVerdict.Expired;
        }

        remembered = window.Find(request.Sequence);
        if (!remembered.Known)
        {
            return DedupVerdict.New;
        }

        return remembered.PayloadHash == payloadHash ? DedupVerdict.Repeated : DedupVerdict.Reused;
    }

    /// <summary>
    /// Whether a request is sure to be entered, whatever else is applied before it. Cautious: half of the places are kept for what is on its way.
    /// </summary>
    public bool HasRoomFor(in RequestId request) => _sessions.TryGetValue(request.Session, out SessionWindow? window)
        ? request.Sequence - window.Floor <= SessionWindow.MaxSpan && request.Sequence > window.Floor
        : request.Sequence - request.AcknowledgedFloor <= SessionWindow.MaxSpan && _sessions.Count < MaxSessions / 2;

    /// <summary>Whether a request is remembered with this version as its result.</summary>
    public bool Remembers(in RequestId request, LogIndex version) =>
        !request.IsNone
        && _sessions.TryGetValue(request.Session, out SessionWindow? window)
        && request.Sequence > window.Floor
        && window.Find(request.Sequence) is { Known: true } remembered
        && remembered.Version == version;

    /// <summary>As <see cref="Peek"/>, while applying: makes room for a new request and takes note of the client's floor.</summary>
    /// <param name="timestampMs">From the entry, so that every replica decides alike.</param>
    public DedupVerdict Enter(in RequestId request, uint payloadHash, ulong timestampMs, out RememberedResult remembered)
    {
        DedupVerdict verdict = Peek(request, payloadHash, out remembered);
        if (verdict != DedupVerdict.New || request.IsNone)
        {
            return verdict;
        }

        if (request.Sequence <= request.AcknowledgedFloor)
        {
            return DedupVerdict.Expired;
        }

        if (!_sessions.TryGetValue(request.Session, out SessionWindow? window))
        {
            if (_sessions.Count >= MaxSessions && !ForgetLongestIdle(timestampMs))
            {
                return DedupVerdict.Full;
            }

            window = new SessionWindow(request.Session, _answers);
            _sessions.Add(request.Session, window);
        }

        window.Raise(request.AcknowledgedFloor);
        MarkDirty(window);
        return request.Sequence - window.Floor > SessionWindow.MaxSpan ? DedupVerdict.Full : DedupVerdict.New;
    }

    /// <summary>Remembers the result of a request that <see cref="Enter"/> called new.</summary>
    public void Remember(in RequestId request, in RememberedResult result, ulong timestampMs)
    {
        if (request.IsNone)
        {
            return;
        }

        SessionWindow window = _sessions[request.Session];
        Invariant.Assert(window.TryRemember(request.Sequence, result, timestampMs), "room was made before");
        MarkDirty(window);
        while (_answers.TryFindOverdue(out SessionWindow overdue, out ulong sequence))
        {
            overdue.ForgetAnswer(sequence);
            MarkDirty(overdue);
        }
    }

    /// <summary>Writes the sessions that changed since the last seal into the view.</summary>
    public void WriteTo(IReplicaStorage storage)
    {
        foreach (ulong session in _forgotten)
        {
            storage.Remove(RecordSpace.Meta, KeyOf(session));
        }

        foreach (SessionWindow window in _dirty)
        {
            window.IsDirty = false;
            if (_sessions.GetValueOrDefault(window.Session) == window)
            {
                storage.Put(RecordSpace.Meta, KeyOf(window.Session), window.Encode());
            }
        }

        _forgotten.Clear();
        _dirty.Clear();
    }

    /// <summary>Takes a record of the view back, after a restart or a snapshot.</summary>
    public void Restore(ReadOnlySpan<byte> key, ReadOnlySpan<byte> record)
    {
        ulong session = BinaryPrimitives.ReadUInt64BigEndian(key[KeyPrefix.Length..]);
        if (_sessions.TryGetValue(session, out SessionWindow? known))
        {
            known.Release();
        }

        _sessions[session] = SessionWindow.Decode(session, record, _answers);
    }

    /// <summary>Every session as it would lie in the view, in order.</summary>
    public List<ScannedRecord> Describe() =>
        [.. _sessions.Values.OrderBy(window => window.Session).Select(window => new ScannedRecord(RecordSpace.Meta, KeyOf(window.Session), window.Encode()))];

    /// <summary>The same for all replicas that remember the same, in whatever order they learned it.</summary>
    public UInt128 Sum()
    {
        UInt128 sum = 0;
        foreach (SessionWindow window in _sessions.Values)
        {
            byte[] record = window.Encode();
            sum += new UInt128(window.Session ^ (uint)KeyHash.Of(record), ((ulong)(uint)KeyHash.Of(record.AsSpan(record.Length / 2)) << 32) | (uint)KeyHash.Of(record));
        }

        return sum;
    }

    /// <summary>Takes these in place of all that is here.</summary>
    public void Replace(IReadOnlyList<ScannedRecord> records)
    {
        _forgotten.AddRange(_sessions.Keys.Order());
        _sessions.Clear();
        _answers.Clear();
        _dirty.Clear();
        foreach (ScannedRecord record in records)
        {
            Restore(record.Key.Span, record.Record.Span);
        }

        foreach (SessionWindow window in _sessions.Values.OrderBy(window => window.Session))
        {
            _forgotten.Remove(window.Session);
            MarkDirty(window);
        }
    }

    public void Clear()
    {
        _sessions.Clear();
        _answers.Clear();
        _dirty.Clear();
        _forgotten.Clear();
    }

    private void MarkDirty(SessionWindow window)
    {
        if (!window.IsDirty)
        {
            window.IsDirty = true;
            _dirty.Add(window);
        }
    }

    private static byte[] KeyOf(ulong session)
    {
        byte[] key = new byte[KeyPrefix.Length + 8];
        KeyPrefix.CopyTo(key);
        BinaryPrimitives.WriteUInt64BigEndian(key.AsSpan(KeyPrefix.Length), session);
        return key;
    }

    private bool ForgetLongestIdle(ulong timestampMs)
    {
        SessionWindow? oldest = null;
        foreach (SessionWindow window in _sessions.Values)
        {
            // Ties are broken by the session id, never by the order of the dictionary: replicas must agree.
            if (oldest is null || window.LastUsed < oldest.LastUsed || (window.LastUsed == oldest.LastUsed && window.Session < oldest.Session))
            {
                oldest = window;
            }
        }

        if (oldest is null || oldest.LastUsed + IdleMs > timestampMs)
        {
            return false;
        }

        oldest.Release();
        _sessions.Remove(oldest.Session);
        _forgotten.Add(oldest.Session);
        return true;
    }
}

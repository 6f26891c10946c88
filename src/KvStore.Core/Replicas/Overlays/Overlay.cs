using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// The writes that this replica holds outside the log and that wait to be merged: made here while no leader could be reached, taken from other replicas in the same plight, or extracted from an open copy
/// that came too late for a switch. One record per key. Bounded, so all of it is in memory; what backs it is the log (<see cref="LogRecordKind.Overlay"/>) and the view's <see cref="RecordSpace.Overlay"/>,
/// which no snapshot of the shard carries and which is taken over when one replaces the view.
/// </summary>
/// <remarks>
/// <para>Its log records are numbered together with those of the dotted engine (<see cref="ViewState.Dotted"/>). Each holds the whole record of its key, so repeating them is harmless.</para>
/// <para>
/// A record leaves when a merge that accounts for all its dots is applied <em>here</em>, never earlier. No log record says so: the accounted dots are part of the view, so after a restart the same records
/// go again as soon as they are restored or the entries are repeated.
/// </para>
/// </remarks>
internal sealed class Overlay(ReplicaOptions options, ReplicaClock clock, IReplicaStorage storage, ViewState view, AccountedDots accounted)
{
    private const byte RecordMark = 1;
    private const byte RestMark = 2;

    /// <summary>What a record costs beside its bytes: in memory it has two homes, and its requests a third.</summary>
    private const int RecordOverheadBytes = 256;

    private static readonly byte[] RestKey = [RestMark];

    private readonly SortedDictionary<Key, Held> _records = [];
    private readonly Dictionary<(ulong Session, ulong Sequence), OverlayRequest> _requests = [];
    private readonly Dictionary<ulong, ulong> _floors = [];
    private readonly SortedDictionary<ActorId, ulong> _rest = [];
    private readonly Queue<(LogPosition Position, ulong Number)> _appended = new();


    /// <summary>All dots that were ever in a record here. Those that no longer are, the log accounts for.</summary>
    private ShardClock _held = new();
    private ulong _oldestMs = ulong.MaxValue;
    private bool _oldestIsKnown = true;

    private readonly record struct Held(OverlayRecord Record, ReadOnlyMemory<byte> Bytes);

    /// <summary>Keys with writes that wait to be merged.</summary>
    public int Count => _records.Count;

    /// <summary>Nothing waits to be merged or to be accounted for.</summary>
    public bool IsEmpty => _records.Count == 0 && _rest.Count == 0;

    /// <summary>Bytes that count against <see cref="ReplicaOptions.OverlayBytes"/>.</summary>
    public long Bytes { get; private set; }

    /// <summary>The number of the last log record.</summary>
    public ulong LastNumber { get; private set; }

    /// <summary>The number of the last log record that is durable.</summary>
    public ulong Durable { get; private set; }

    public bool WaitsForDurable => _appended.Count > 0;

    /// <summary>Counts up with every change, for those who look now and then.</summary>
    public ulong Changes { get; private set; }

    /// <summary>How long the oldest write has been waiting, by this node's clock.</summary>
    public ulong AgeMs
    {
        get
        {
            if (!_oldestIsKnown)
            {
                _oldestIsKnown = true;
                _oldestMs = _records.Count == 0 ? ulong.MaxValue : _records.Values.Min(held => held.Record.SinceMs);
            }

            return _oldestMs >= clock.WallMs ? 0 : clock.WallMs - _oldestMs;
        }
    }

    /// <summary>The counters up to which actors are done with, as far as this replica knows, once all records are merged.</summary>
    public IReadOnlyCollection<Dot> Rest => [.. _rest.Select(pair => new Dot(pair.Key, pair.Value))];

    public OverlayRecord? Find(Key key) => _records.TryGetValue(key, out Held held) ? held.Record : null;

    /// <summary>The records in key order, behind a key; null: from the start.</summary>
    public IEnumerable<OverlayRecord> From(Key? after) => _records.Where(pair => after is null || pair.Key.CompareTo(after.Value) > 0).Select(pair => pair.Value.Record);

    /// <summary>The encoded record of a key that is here.</summary>
    public ReadOnlyMemory<byte> BytesOf(Key key) => _records[key].Bytes;

    /// <summary>Whether a request has made one of the writes here.</summary>
    public bool TryFindRequest(in RequestId request, out OverlayRequest found) => _requests.TryGetValue((request.Session, request.Sequence), out found);

    /// <summary>Whether the client has promised, with a later request that is or was here, never to send this one again.</summary>
    public bool HasExpired(in RequestId request) => _floors.TryGetValue(request.Session, out ulong floor) && request.Sequence <= floor;

    /// <summary>Whether all of the record is here or accounted for by the log.</summary>
    public bool Covers(OverlayRecord record) => !record.IsNewTo(accounted.Clock) || (_records.TryGetValue(record.Key, out Held held) && !record.IsNewTo(held.Record));

    /// <summary>All dots that are here or accounted for: what nobody need send.</summary>
    public ShardClock Known()
    {
        ShardClock known = accounted.Clock.Clone();
        known.Join(_held);
        return known;
    }

    /// <summary>Records of which the clock lacks something, up to so many bytes of them; at least one if there is any.</summary>
    public List<ReadOnlyMemory<byte>> MissingFrom(ShardClock known, int maxBytes)
    {
        var missing = new List<ReadOnlyMemory<byte>>();
        if (known.Includes(_held))
        {
            return missing;
        }

        int bytes = 0;
        foreach (Held held in _records.Values)
        {
            if (held.Record.IsNewTo(known))
            {
                missing.Add(held.Bytes);
                bytes += held.Bytes.Length;
                if (bytes >= maxBytes)
                {
                    break;
                }
            }
        }

        return missing;
    }

    /// <summary>Whether so many bytes more would pass the bound on bytes.</summary>
    public bool IsFullFor(int bytes) => Bytes + bytes + RecordOverheadBytes > options.OverlayBytes;

    /// <summary>
    /// Takes a record in: joined with what is held of its key, persisted, and from now on this replica's to hand in. Dots that the log accounts for already do no harm. Not while a snapshot replaces the view.
    /// </summary>
    /// <returns>The number of its log record, for <see cref="Durable"/>.</returns>
    public ulong Add(OverlayRecord incoming, SyncUrgency urgency)
    {
        OverlayRecord whole = Find(incoming.Key) is { } held ? OverlayRecord.Join(held, incoming) : incoming;
        return Replace(whole, urgency);
    }

    /// <summary>Takes a record in while a snapshot is about to replace the view: it is durable with the snapshot (<see cref="BeforeSwitch"/>), and until then the data that it came from is.</summary>
    public void AddForSwitch(OverlayRecord incoming) => Keep(Find(incoming.Key) is { } held ? OverlayRecord.Join(held, incoming) : incoming);

    /// <summary>Takes a record in that has seen all that is held of its key, and accounts for it.</summary>
    /// <returns>The number of its log record, for <see cref="Durable"/>.</returns>
    public ulong Replace(OverlayRecord whole, SyncUrgency urgency)
    {
        ReadOnlyMemory<byte> bytes = Keep(whole);
        storage.Put(RecordSpace.Overlay, KeyOf(whole.Key), bytes);
        byte[] payload = new byte[1 + bytes.Length];
        payload[0] = RecordMark;
        bytes.CopyTo(payload.AsMemory(1));
        return Append(payload, urgency);
    }

    /// <summary>
    /// For dots whose keys are not known any more: when all records are merged, everything of the actor up to the counter is to be accounted for. Only for who holds all that is live of it.
    /// </summary>
    public void AddRest(Dot upTo, SyncUrgency urgency)
    {
        if (accounted.Clock.BaseOf(upTo.Actor) >= upTo.Counter)
        {
            return;
        }

        KeepRest(upTo);
        WriteRest();
        var payload = new ArrayBufferWriter<byte>(24);
        VarInt.WriteByte(payload, RestMark);
        VarInt.WriteDot(payload, upTo);
        Append(payload.WrittenSpan, urgency);
    }

    /// <summary>The log's entries, or something else, have accounted for dots of this key: the record goes if nothing of it is left.</summary>
    public void OnAccounted(Key key)
    {
        if (_records.TryGetValue(key, out Held held) && !held.Record.IsNewTo(accounted.Clock))
        {
            Drop(held);
        }
    }

    /// <summary>The log has accounted for more than single keys, a snapshot has come, or the replica has just started.</summary>
    public void OnAccounted()
    {
        foreach (Held held in _records.Values.ToArray())
        {
            OnAccounted(held.Record.Key);
        }

        ActorId[] done = [.. _rest.Where(pair => accounted.Clock.BaseOf(pair.Key) >= pair.Value).Select(pair => pair.Key)];
        foreach (ActorId actor in done)
        {
            _rest.Remove(actor);
        }

        if (done.Length > 0)
        {
            WriteRest();
        }
    }

    /// <summary>Drops everything: for an open shard that has taken it into its own data, in the same turn.</summary>
    public void Clear()
    {
        foreach (Held held in _records.Values.ToArray())
        {
            Drop(held);
        }

        _held = new ShardClock();
        _rest.Clear();
        WriteRest();
    }

    /// <returns>Whether more became durable.</returns>
    public bool OnDurable(LogPosition position)
    {
        ulong before = Durable;
        while (_appended.TryPeek(out (LogPosition Position, ulong Number) next) && next.Position <= position)
        {
            _appended.Dequeue();
            Durable = next.Number;
        }

        return Durable > before;
    }

    /// <summary>A snapshot is about to replace the view: the overlay is taken over into the new one.</summary>
    public void BeforeSwitch()
    {
        foreach (Held held in _records.Values)
        {
            storage.Install(RecordSpace.Overlay, KeyOf(held.Record.Key), held.Bytes.Span);
        }

        if (_rest.Count > 0)
        {
            storage.Install(RecordSpace.Overlay, RestKey, EncodeRest());
        }
    }

    /// <summary>Takes a record of the view back, after a restart.</summary>
    public void Restore(ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        if (key[0] == RecordMark)
        {
            Keep(OverlayRecord.Decode(record));
            return;
        }

        BinaryCursor input = new(record);
        for (int left = input.ReadCount(2); left > 0; left--)
        {
            KeepRest(input.ReadDot());
        }
    }

    /// <summary>Repeats a log record that came after the last seal, in the order of their numbers.</summary>
    public void Replay(in RecoveredRecord record)
    {
        Invariant.Assert(record.Kind == LogRecordKind.Overlay && record.Payload.Length > 1, "an overlay record of the log is whole");
        if (record.Payload.Span[0] == RecordMark)
        {
            OverlayRecord found = OverlayRecord.Decode(record.Payload[1..]);
            storage.Put(RecordSpace.Overlay, KeyOf(found.Key), Keep(found));
        }
        else
        {
            BinaryCursor input = new(record.Payload[1..]);
            KeepRest(input.ReadDot());
            WriteRest();
        }

        view.AdvanceDotted(record.Index.Value);
        LastNumber = record.Index.Value;
        Durable = record.Index.Value;
    }

    private ReadOnlyMemory<byte> Keep(OverlayRecord record)
    {
        // Decoded anew, so that nothing points into a message or an operation any more.
        var output = new ArrayBufferWriter<byte>(256);
        record.Encode(output);
        ReadOnlyMemory<byte> bytes = output.WrittenMemory;
        record = OverlayRecord.Decode(bytes);
        if (_records.TryGetValue(record.Key, out Held before))
        {
            Bytes -= SizeOf(before);
            ForgetRequests(before);
        }

        var held = new Held(record, bytes);
        _records[record.Key] = held;
        Bytes += SizeOf(held);
        _oldestMs = Math.Min(_oldestMs, record.SinceMs);
        foreach (Dot dot in record.Dots)
        {
            _held.Add(dot);
        }

        foreach (OverlayRequest request in record.Requests)
        {
            _requests[(request.Request.Session, request.Request.Sequence)] = request;
            _floors[request.Request.Session] = Math.Max(_floors.GetValueOrDefault(request.Request.Session), request.Request.AcknowledgedFloor);
        }

        Changes++;
        return bytes;
    }

    private void Drop(in Held held)
    {
        _records.Remove(held.Record.Key);
        Bytes -= SizeOf(held);
        _oldestIsKnown &= held.Record.SinceMs > _oldestMs;
        ForgetRequests(held);
        storage.Remove(RecordSpace.Overlay, KeyOf(held.Record.Key));
        if (_records.Count == 0)
        {
            // From here on the log's own table knows the sessions.
            _floors.Clear();
        }

        Changes++;
    }

    private void ForgetRequests(in Held held)
    {
        foreach (OverlayRequest request in held.Record.Requests)
        {
            _requests.Remove((request.Request.Session, request.Request.Sequence));
        }
    }

    private void KeepRest(Dot upTo) => _rest[upTo.Actor] = Math.Max(_rest.GetValueOrDefault(upTo.Actor), upTo.Counter);

    private void WriteRest()
    {
        Changes++;
        if (_rest.Count == 0)
        {
            storage.Remove(RecordSpace.Overlay, RestKey);
        }
        else
        {
            storage.Put(RecordSpace.Overlay, RestKey, EncodeRest());
        }
    }

    private byte[] EncodeRest()
    {
        var output = new ArrayBufferWriter<byte>(64);
        MergeCommand.EncodeDone(output, Rest);
        return output.WrittenSpan.ToArray();
    }

    private ulong Append(ReadOnlySpan<byte> payload, SyncUrgency urgency)
    {
        ulong number = view.Dotted + 1;
        LogPosition position = storage.Append(LogRecordKind.Overlay, Term.Zero, new LogIndex(number), payload, urgency);
        view.AdvanceDotted(number);
        LastNumber = number;
        _appended.Enqueue((position, number));
        return number;
    }

    private static int SizeOf(in Held held) => held.Bytes.Length + RecordOverheadBytes;

    private static byte[] KeyOf(Key key)
    {
        byte[] stored = new byte[1 + key.Span.Length];
        stored[0] = RecordMark;
        key.Span.CopyTo(stored.AsSpan(1));
        return stored;
    }
}

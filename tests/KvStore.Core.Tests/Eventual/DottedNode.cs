using System.Buffers;
using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;

namespace KvStore.Core.Tests.Eventual;

/// <summary>One replica with a log whose end can be forgotten, a view that stands at its last seal after a crash, and no I/O.</summary>
internal sealed class DottedNode
{
    private static readonly IComparer<byte[]> ByteOrder = Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b));

    private readonly DottedEnvironment _environment;
    private readonly List<(ulong Number, byte[] Record)> _log = [];
    private readonly List<(ulong After, NodeId To, ulong Operation, ActorId Actor)> _owed = [];
    private readonly List<(ulong After, NodeId To, DottedMessageKind Kind, byte[] Bytes)> _heldPages = [];
    private SortedDictionary<byte[], byte[]> _index = new(ByteOrder);
    private Sealed _sealed = new([], [], [], 0);
    private (List<(Key, ReadOnlyMemory<byte>)> Records, bool Last)? _scanned;

    /// <summary>As the node's incarnation record would say, which is written before the replica starts.</summary>
    private bool _diskLost;

    public DottedNode(DottedEnvironment environment, NodeId id)
    {
        _environment = environment;
        Id = id;
        Replica = Create();
    }

    public NodeId Id { get; }

    public DottedReplica Replica { get; private set; }

    public SortedDictionary<Key, ReadOnlyMemory<byte>> View { get; private set; } = [];

    public DottedObject Stored(Key key) => View.TryGetValue(key, out ReadOnlyMemory<byte> record) ? DottedObject.Decode(record) : DottedObject.Empty;

    public DottedObject Read(string key) => Replica.Fill(Key.FromText(key), Stored(Key.FromText(key)));

    public string[] Values(string key) => [.. Read(key).Values.ToArray().Select(value => System.Text.Encoding.UTF8.GetString(value.Value.Span)).Order(StringComparer.Ordinal)];

    public DottedWrite Put(string key, string value, VersionVector? context = null, long atMs = 0, ulong operation = 0)
        => Write(key, System.Text.Encoding.UTF8.GetBytes(value), context, atMs, operation);

    public DottedWrite Delete(string key, VersionVector? context = null) => Write(key, null, context, 0, 0);

    /// <summary>As last-writer-wins does in the background, if the key has more than one value.</summary>
    public void DropLosers(string text)
    {
        Key key = Key.FromText(text);
        if (Stored(key).SiblingCount > 1)
        {
            Publish(key, Replica.DropLosers(key, Stored(key)));
        }
    }

    /// <summary>As a full memory does.</summary>
    public void Evict(string text)
    {
        Key key = Key.FromText(text);
        if (View.ContainsKey(key))
        {
            Replica.Evict(key, Stored(key));
            View.Remove(key);
        }
    }

    public void MakeDurable() => MakeDurable(Replica.Number);

    public void MakeDurable(ulong upTo)
    {
        Replica.OnDurable(upTo);
        foreach ((ulong _, NodeId to, ulong operation, ActorId actor) in _owed.Where(owed => owed.After <= upTo))
        {
            Send(to, DottedMessageKind.ReplicateAcknowledged, Replica.Acknowledge(operation, actor).Encode);
        }

        _owed.RemoveAll(owed => owed.After <= upTo);
        foreach ((ulong _, NodeId to, DottedMessageKind kind, byte[] bytes) in _heldPages.Where(page => page.After <= upTo))
        {
            _environment.Post(Id, to, kind, bytes);
        }

        _heldPages.RemoveAll(page => page.After <= upTo);
        DurableNumber = Math.Max(DurableNumber, upTo);
    }

    public ulong DurableNumber { get; private set; }

    /// <summary>Everything durable goes into the view, and the log before it is released.</summary>
    public void Seal()
    {
        MakeDurable();
        foreach (DotKeyChange change in Replica.TakeIndexChanges())
        {
            if (change.Removes)
            {
                _index.Remove(change.RecordKey.ToArray()).Should().BeTrue();
            }
            else
            {
                _index[change.RecordKey.ToArray()] = change.Key.ToArray();
            }
        }

        ArrayBufferWriter<byte> state = new();
        Replica.WriteState(state);
        _sealed = new Sealed(state.WrittenSpan.ToArray(), [.. View], [.. _index], Replica.Number);
        _log.Clear();
    }

    /// <summary>Power loss: what wasn't durable is forgotten; the replica comes back as a new actor.</summary>
    public void Restart()
    {
        _owed.Clear();
        _heldPages.Clear();
        _scanned = null;
        _log.RemoveAll(entry => entry.Number > DurableNumber);
        Replica = Create();
        View = new SortedDictionary<Key, ReadOnlyMemory<byte>>(_sealed.View.ToDictionary());
        _index = new SortedDictionary<byte[], byte[]>(_sealed.Index.ToDictionary(), ByteOrder);
        if (_sealed.State.Length > 0)
        {
            Replica.ReadState(_sealed.State);
        }

        foreach (KeyValuePair<byte[], byte[]> entry in _sealed.Index)
        {
            Replica.RestoreIndexed(entry.Key, entry.Value);
        }

        foreach ((ulong number, byte[] record) in _log)
        {
            if (Replica.Replay(number, record) is { } change)
            {
                Show(change);
            }

            Replica.Replay(number, record).Should().BeNull("a repeated record changes nothing");
        }

        if (_diskLost && !Replica.IsRecovering)
        {
            BeginCopy();
        }
    }

    /// <summary>The disk is gone: the same node comes back with nothing, as a new actor, and begins a full copy.</summary>
    public void Wipe()
    {
        _owed.Clear();
        _heldPages.Clear();
        _scanned = null;
        _log.Clear();
        DurableNumber = 0;
        _sealed = new Sealed([], [], [], 0);
        View = [];
        _index = new SortedDictionary<byte[], byte[]>(ByteOrder);
        Replica = Create();
        _diskLost = true;
        BeginCopy();
    }

    public void BeginCopy() => Log(Replica.FullCopy.Begin());

    public void RequestCopy(NodeId source) => Send(source, DottedMessageKind.FullCopyRequest, Replica.FullCopy.EncodeRequest);

    public void Pull(NodeId from) => Send(from, DottedMessageKind.Pull, Replica.AntiEntropy.EncodePull);

    public void Advertise()
    {
        ClockAdvertised advertised = Replica.Advertise();
        foreach (NodeId peer in _environment.PeersOf(Id))
        {
            Send(peer, DottedMessageKind.ClockAdvertised, advertised.Encode);
        }
    }

    /// <summary>Strips and removes what the clock implies by now.</summary>
    public void Fade()
    {
        foreach (Key key in Replica.TakeStrippable(int.MaxValue, int.MaxValue).Where(View.ContainsKey))
        {
            DottedObject stripped = Replica.Strip(Stored(key));
            if (stripped.IsVacant)
            {
                if (_environment.Options.InMemory)
                {
                    Replica.Evict(key, Stored(key));
                }

                View.Remove(key);
            }
            else if (!_environment.Options.InMemory)
            {
                ArrayBufferWriter<byte> record = new();
                stripped.Encode(record);
                View[key] = record.WrittenMemory;
            }
        }
    }

    /// <summary>Begins, or ends, the reading of one page of records for the digests; what happens in between is not in the page.</summary>
    public void ScanForDigests(int pageKeys)
    {
        if (_scanned is { } page)
        {
            _scanned = null;
            Replica.Digests.TakePage(page.Records, page.Last);
        }
        else if (Replica.Digests.NeedsPage)
        {
            ReadOnlyMemory<byte> after = Replica.Digests.BeginPage();
            List<(Key, ReadOnlyMemory<byte>)> behind = [.. View.Where(entry => entry.Key.Span.SequenceCompareTo(after.Span) > 0).Select(entry => (entry.Key, entry.Value))];
            _scanned = ([.. behind.Take(pageKeys)], behind.Count <= pageKeys);
        }
    }

    /// <summary>The digests that the records of the view come to, made from nothing.</summary>
    public BucketDigests CountDigests()
    {
        BucketDigests counted = new();
        foreach (Key key in View.Keys)
        {
            counted.Add(key, Replica.Strip(Stored(key)));
        }

        return counted;
    }

    public void Receive(NodeId from, DottedMessageKind kind, byte[] bytes)
    {
        switch (kind)
        {
            case DottedMessageKind.Replicate:
                ReceiveReplicate(from, ReplicateMessage.Decode(bytes));
                break;
            case DottedMessageKind.ReplicateAcknowledged:
                ReplicateAcknowledged acknowledged = ReplicateAcknowledged.Decode(bytes);
                Replica.OnAcknowledged(from, acknowledged);
                _environment.Acknowledged.Add((from, acknowledged.Operation));
                break;
            case DottedMessageKind.ClockAdvertised when Replica.OnClockAdvertised(from, ClockAdvertised.Decode(bytes)) && (!Replica.IsRecovering || Replica.FullCopy.IsCatchingUp):
                Pull(from);
                break;
            case DottedMessageKind.Pull:
                PagePlan plan = Replica.AntiEntropy.Plan(PullMessage.Decode(bytes));
                SendWhenDurable(from, DottedMessageKind.PullPage, output => Replica.AntiEntropy.Build(plan, Stored, output));
                break;
            case DottedMessageKind.PullPage:
                ReceivePage(from, PullPage.Decode(bytes));
                break;
            case DottedMessageKind.FullCopyRequest:
                ServeCopy(from, FullCopyRequest.Decode(bytes));
                break;
            case DottedMessageKind.FullCopyPage:
                OfferCopied(from, FullCopyPage.Decode(bytes));
                break;
            default:
                break;
        }
    }

    private DottedReplica Create()
        => new(_environment.DrawActor(), 0, _environment.InitialClock.Clone(), _environment.PeersOf(Id), _environment.Options);

    private DottedWrite Write(string text, byte[]? value, VersionVector? context, long atMs, ulong operation)
    {
        Key key = Key.FromText(text);
        HybridTimestamp timestamp = HybridTimestamp.FromPhysical(atMs);
        ReadOnlyMemory<byte>? bytes = value is null ? default(ReadOnlyMemory<byte>?) : new ReadOnlyMemory<byte>(value);
        DottedWrite write = context is null
            ? Replica.Write(key, Stored(key), bytes, timestamp, operation)
            : Replica.WriteInContext(key, Stored(key), context, bytes, timestamp, operation);
        if (write.Status == DottedWriteStatus.Written)
        {
            Publish(key, write);
        }

        return write;
    }

    private void Publish(Key key, in DottedWrite write)
    {
        _environment.Events[write.Dot] = (key, write.Written);
        Persist(write.Change);
        byte[] message = write.Replicate.ToArray();
        foreach (NodeId peer in _environment.PeersOf(Id))
        {
            _environment.Post(Id, peer, DottedMessageKind.Replicate, message);
        }
    }

    private void ReceiveReplicate(NodeId from, in ReplicateMessage message)
    {
        DottedReceipt receipt = Replica.Receive(message, Stored(message.Key));
        if (receipt.IsNew)
        {
            Persist(receipt.Change);
        }

        if (message.WantsAcknowledgement)
        {
            _owed.Add((receipt.AcknowledgeAfter, from, message.Operation, message.Dot.Actor));
        }
    }

    private void ReceivePage(NodeId from, PullPage page)
    {
        if (!Replica.AntiEntropy.Accepts(page))
        {
            return;
        }

        foreach (DottedChange change in Replica.AntiEntropy.Apply(page, Stored))
        {
            Persist(change);
        }

        if (page.Answer == PullAnswer.More)
        {
            Pull(from);
        }
        else if (page.Answer == PullAnswer.FullCopyNeeded && (!Replica.IsRecovering || Replica.FullCopy.IsCatchingUp))
        {
            _environment.FullCopies++;
            if (Replica.IsRecovering)
            {
                BeginCopy();
            }
            else
            {
                Replica.FullCopy.BeginBehind();
            }

            RequestCopy(from);
        }

        if (Replica.FullCopy.TryFinish() is { } mark)
        {
            Log(mark);
            _diskLost = false;
        }
    }

    private void ServeCopy(NodeId newcomer, FullCopyRequest request)
    {
        if (Replica.CaptureForCopy(newcomer, request) is not { } capture)
        {
            return;
        }

        List<(Key, ReadOnlyMemory<byte>)> behind =
            [.. View.Where(entry => entry.Key.Span.SequenceCompareTo(request.After.Span) > 0).Select(entry => (entry.Key, entry.Value))];
        bool last = behind.Count <= _environment.CopyPageKeys;
        List<(Key, ReadOnlyMemory<byte>)> range = [.. behind.Take(_environment.CopyPageKeys)];
        SendWhenDurable(newcomer, DottedMessageKind.FullCopyPage, output => FullCopyPage.Encode(output, request, capture, range, last));
    }

    private void OfferCopied(NodeId source, FullCopyPage page)
    {
        CopyOffer offer = Replica.FullCopy.Offer(page, out DottedMark? mark);
        if (mark is { } begun)
        {
            Log(begun);
        }

        if (offer == CopyOffer.Accepted)
        {
            _environment.BeforeJoin?.Invoke();
            JoinCopied(source);
        }
        else if (offer == CopyOffer.SourceWentBack)
        {
            BeginCopy();
        }
    }

    private void JoinCopied(NodeId source)
    {
        IReadOnlyCollection<Key> keys = Replica.FullCopy.KeysToJoin([.. View.Keys.Where(Replica.FullCopy.Waiting!.Contains)]);
        (List<DottedChange> changes, DottedMark? mark) = Replica.FullCopy.Join(keys, Stored);
        changes.ForEach(Persist);
        if (mark is { } adopted)
        {
            Log(adopted);
            Pull(source);
        }
        else
        {
            RequestCopy(source);
        }
    }

    private void Persist(DottedChange change)
    {
        _log.Add((change.Number, change.LogRecord.ToArray()));
        Show(change);
    }

    private void Log(DottedMark mark) => _log.Add((mark.Number, mark.LogRecord.ToArray()));

    private void Show(DottedChange change)
    {
        if (change.Removes)
        {
            View.Remove(change.Key);
        }
        else
        {
            View[Key.CopyOf(change.Key.Span)] = change.StoredRecord;
        }
    }

    /// <summary>A page is filled with all that was seen here; what a power loss could still take back must not stay in anybody's contexts.</summary>
    private void SendWhenDurable(NodeId to, DottedMessageKind kind, Action<ArrayBufferWriter<byte>> encode)
    {
        if (!_environment.HoldsPages || Replica.Number <= DurableNumber)
        {
            Send(to, kind, encode);
            return;
        }

        ArrayBufferWriter<byte> output = new();
        encode(output);
        _heldPages.Add((Replica.Number, to, kind, output.WrittenSpan.ToArray()));
    }

    private void Send(NodeId to, DottedMessageKind kind, Action<ArrayBufferWriter<byte>> encode)
    {
        ArrayBufferWriter<byte> output = new();
        encode(output);
        _environment.Post(Id, to, kind, output.WrittenSpan.ToArray());
    }

    private sealed record Sealed(byte[] State, KeyValuePair<Key, ReadOnlyMemory<byte>>[] View, KeyValuePair<byte[], byte[]>[] Index, ulong Number);
}

using KvStore.Core;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Storage.View;

namespace KvStore.Storage;

/// <summary>
/// One replica's storage: its loop's appender, its table, and the slice that collects what was put since the last seal. Sensible slices hold up to about 1,000 records or 256 KB; bigger ones
/// stall the view's other users.
/// </summary>
internal sealed class ReplicaStorage : IReplicaStorage
{
    private const int RecordOverheadBytes = 16;
    private const int InstallChunkBytes = 256 * 1024;

    private readonly StorageLoop _loop;
    private readonly Queue<(int Slot, long Slice)> _removals = new();
    private ObjectTable _table = new();
    private ViewSlice _slice;
    private ViewSlice? _install;
    private long _sliceNumber = 1;
    private int _installs;
    private bool _installing;
    private bool _closed;
    private ulong _lastPin;
    private ulong _pinned;

    public ReplicaStorage(StorageLoop loop, ReplicaView view)
    {
        _loop = loop;
        View = view;
        _slice = loop.Node.Writer.RentSlice();
    }

    public ShardId Shard => View.Shard;

    public ReplicaView View { get; }

    public long TableBytes => _table.Bytes;

    public int UnsealedBytes => _slice.Bytes;

    public ViewPosition DurablePosition => View.DurablePosition;

    public LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) =>
        _loop.Log.Append(Shard.Packed, kind, term, index, payload, urgency);

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record)
    {
        _loop.TakeArrivals();
        return _table.Find(space, key, out record);
    }

    public bool WarmPays => _table.Count >= Warming.LeastRecords;

    public int Warm(RecordSpace space, int keyHash, WarmStep step) => _table.Warm(space, keyHash, step);

    public void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> key, ulong tag)
    {
        var load = new LoadRead(this, View, _table.BeginLoad(space, key.Span), tag, _installs);
        Start(load);
    }

    public void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        AssertNotInstalling();
        Note(_table.Set(space, key, record, SlotState.Present), record, isRemoved: false);
        _slice.Bytes += key.Length + record.Length + RecordOverheadBytes;
    }

    public void Remove(RecordSpace space, ReadOnlySpan<byte> key)
    {
        AssertNotInstalling();
        var slot = _table.Set(space, key, default, SlotState.Absent);
        Note(slot, default, isRemoved: true);
        _removals.Enqueue((slot, _sliceNumber));
        _slice.Bytes += key.Length + RecordOverheadBytes;
    }

    public void Seal(in ViewPosition position)
    {
        AssertNotInstalling();
        var sealedSlice = _slice;
        sealedSlice.Number = _sliceNumber++;
        sealedSlice.Position = position;
        var writer = _loop.Node.Writer;
        writer.AddDirty(sealedSlice.Bytes);
        _slice = writer.RentSlice();
        writer.Order(new WriteSlice(View, _loop.Log, sealedSlice));
    }

    public void BeginScan(in ScanRequest request)
    {
        AssertNotInstalling();
        Invariant.Assert(request.MaxRecords > 0 && request.MaxBytes > 0);
        Invariant.Assert(request.PinnedView == 0 || request.PinnedView == _pinned);
        _loop.Node.Writer.Order(new StartScan(View, _loop.Log, request));
    }

    public void RequestFlush() => _loop.Node.RequestFlush();

    public ulong PinView()
    {
        _pinned = ++_lastPin;
        _loop.Node.Writer.Order(new StartPin(View, _loop.Log, _pinned));
        return _pinned;
    }

    public void ReleaseView(ulong pinnedView)
    {
        if (pinnedView == _pinned)
        {
            _pinned = 0;
        }

        _loop.Node.Writer.Order(new EndPin(View, _loop.Log, pinnedView));
    }

    public void BeginInstall()
    {
        AssertNotInstalling();
        if (_install is { } unfinished)
        {
            _loop.Node.Writer.Return(unfinished);
        }

        _install = _loop.Node.Writer.RentSlice();
        View.LastGeneration++;
        _loop.Node.Writer.Order(new StartInstall(View, _loop.Log));
    }

    public void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record)
    {
        Invariant.Assert(_install is not null);
        _install.Add(ViewKeys.TableKey(space, key), record.ToArray(), isRemoved: false);
        _install.Bytes += key.Length + record.Length + RecordOverheadBytes;
        if (_install.Bytes >= InstallChunkBytes)
        {
            SendInstalled(_install);
            _install = _loop.Node.Writer.RentSlice();
        }
    }

    public void CommitInstall(in ViewPosition position)
    {
        Invariant.Assert(_install is not null);
        AssertNotInstalling();
        SendInstalled(_install);
        _install = null;
        _installing = true;
        _installs++;

        // What was put and not sealed belonged to the view that goes away.
        _slice.Clear();
        _sliceNumber++;
        _removals.Clear();
        _table = new ObjectTable();
        _table.MarkIncomplete();
        var target = position;
        _loop.Node.Writer.Order(new SwitchInstall(View, _loop.Log, position, () => EndInstall(target)));
    }

    public void ReleaseLog(LogIndex entries, ulong dotted)
    {
        if (View.Release(entries.Value, dotted) && _loop.Node.HasOldSegments)
        {
            _loop.Node.Views.NoteRetentionChanged();
            _loop.Node.Log.Writer.Wake();
        }
    }

    /// <summary>Reads a small view into the table at the start.</summary>
    public void Preload(long maxBytes)
    {
        var table = new ObjectTable();
        var fits = maxBytes > 0;
        if (fits)
        {
            using var snapshot = _loop.Node.Store.Snapshot();
            var all = ViewKeys.Prefix(Shard.Packed, View.Generation);
            snapshot.Visit(all, ViewKeys.EndOf(all), (key, record) =>
            {
                table.Preload(key[ViewKeys.PrefixBytes..].ToArray(), record.ToArray());
                return fits = table.Bytes <= maxBytes;
            });
        }

        _table = fits ? table : new ObjectTable();
        if (!fits)
        {
            _table.MarkIncomplete();
        }
    }

    public int Sweep(int visits, long wantedBytes) => _table.Sweep(visits, wantedBytes, View.WrittenSlice);

    public void ForgetWrittenRemovals()
    {
        while (_removals.TryPeek(out var removal) && removal.Slice <= View.WrittenSlice)
        {
            _removals.Dequeue();
            _table.ForgetRemoved(removal.Slot, removal.Slice);
        }
    }

    public void Close() => _closed = true;

    /// <summary>From the background: a load is done.</summary>
    public void Arrive(LoadRead load)
    {
        _loop.Arrive(new Arrival(this, load));
        View.Post(new StorageEvent(StorageEventKind.Loaded) { Shard = Shard, Tag = load.Tag });
    }

    /// <summary>On the loop: takes in what <see cref="Arrive"/> or the end of an install left.</summary>
    public void Accept(in Arrival arrival)
    {
        if (_closed)
        {
            return;
        }

        if (arrival.Load is not { } load)
        {
            _installing = false;
        }
        else if (load.Install == _installs)
        {
            _table.EndLoad(load.TableKey, load.Record);
        }
    }

    private void AssertNotInstalling()
    {
        if (_installing)
        {
            // The end may have been reported and not been taken in yet.
            _loop.TakeArrivals();
            Invariant.Assert(!_installing);
        }
    }

    private void Start(LoadRead load)
    {
        _loop.TakeArrivals();
        if (_installing)
        {
            _loop.Node.Writer.Order(new LateLoad(View, _loop.Log, load));
        }
        else
        {
            _loop.Node.Reader.Order(load);
        }
    }

    private void Note(int index, ReadOnlyMemory<byte> record, bool isRemoved)
    {
        ref var slot = ref _table.At(index);
        if (slot.Slice == _sliceNumber)
        {
            _slice.Replace(slot.SliceEntry, record, isRemoved);
        }
        else
        {
            slot.Slice = _sliceNumber;
            slot.SliceEntry = _slice.Add(slot.Key!, record, isRemoved);
        }
    }

    private void SendInstalled(ViewSlice chunk)
    {
        _loop.Node.Writer.AddDirty(chunk.Bytes);
        _loop.Node.Writer.Order(new WriteInstall(View, _loop.Log, chunk));
    }

    /// <summary>From the flusher.</summary>
    private void EndInstall(in ViewPosition position)
    {
        View.SetDurable(position);
        _loop.Arrive(new Arrival(this, null));
        View.Post(new StorageEvent(StorageEventKind.Installed) { Shard = Shard, Position = position });
    }
}

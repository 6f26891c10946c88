using System.Collections.Concurrent;
using KvStore.Core.Replicas;
using KvStore.Storage.Engine;

namespace KvStore.Storage.View;

/// <summary>Something to read from the store, in no particular order.</summary>
internal abstract class ViewRead
{
    public abstract void Run(ViewStore store);

    /// <summary>Lets go of what it holds without reading.</summary>
    public virtual void Cancel()
    {
    }
}

/// <summary>Reads from the store behind the loops' backs.</summary>
internal sealed class ViewReader(ViewStore store, StorageHealth health, StorageScheduler scheduler) : ScheduledWork(scheduler)
{
    private readonly ConcurrentQueue<ViewRead> _queue = new();

    public void Order(ViewRead read)
    {
        _queue.Enqueue(read);
        Wake();
    }

    /// <summary>After the node has stopped: frees what the reads that never ran hold on to.</summary>
    public void CancelAll()
    {
        while (_queue.TryDequeue(out var read))
        {
            read.Cancel();
        }
    }

    protected override void Run()
    {
        while (!health.IsStopped && _queue.TryDequeue(out var read))
        {
            try
            {
                read.Run(store);
            }
            catch (Exception error)
            {
                // A damaged block must stop the node: the alternative is to call a record absent that is not.
                health.Fail(error);
            }
        }
    }
}

/// <summary>Fetches one record; the loop puts it into its table.</summary>
internal sealed class LoadRead(ReplicaStorage replica, ReplicaView view, byte[] tableKey, ulong tag, int install) : ViewRead
{
    public byte[] TableKey { get; } = tableKey;

    public ulong Tag { get; } = tag;

    /// <summary>How many installs the replica had begun to switch to when it asked: an answer from before the last one is void.</summary>
    public int Install { get; } = install;

    public byte[]? Record { get; private set; }

    public override void Run(ViewStore store)
    {
        Span<byte> inline = stackalloc byte[512];
        var length = ViewKeys.PrefixBytes + TableKey.Length;
        var key = length <= inline.Length ? inline[..length] : new byte[length];
        ViewKeys.WritePrefix(key, view.Shard.Packed, view.Generation);
        TableKey.CopyTo(key[ViewKeys.PrefixBytes..]);
        Record = store.Get(key);
        replica.Arrive(this);
    }
}

/// <summary>Reads one page of a scan from a frozen view.</summary>
internal sealed class ScanRead(ReplicaView view, ScanRequest request, PinnedView source) : ViewRead
{
    private static readonly RecordSpace[] AllSpaces = [RecordSpace.Meta, RecordSpace.Data, RecordSpace.DotKeys];

    private readonly List<ScannedRecord> _records = [];
    private long _bytes;
    private bool _more;

    public override void Run(ViewStore store)
    {
        try
        {
            foreach (var space in request.Space is { } one ? [one] : AllSpaces)
            {
                if (!_more && (request.Space is not null || request.After.IsEmpty || space >= request.AfterSpace))
                {
                    VisitSpace(space);
                }
            }
        }
        finally
        {
            source.Release();
        }

        view.Post(new StorageEvent(StorageEventKind.Scanned) { Shard = view.Shard, Tag = request.Tag, Page = new ScanPage(request.Tag, _records, _more) });
    }

    public override void Cancel() => source.Release();

    private void VisitSpace(RecordSpace space)
    {
        var all = new byte[ViewKeys.PrefixBytes + 1 + request.Prefix.Length];
        ViewKeys.WritePrefix(all, view.Shard.Packed, source.Generation);
        all[ViewKeys.PrefixBytes] = (byte)space;
        request.Prefix.Span.CopyTo(all.AsSpan(ViewKeys.PrefixBytes + 1));
        var from = all;
        if (!request.After.IsEmpty && (request.Space is not null || space == request.AfterSpace))
        {
            // The smallest key behind "after" is "after" and a zero byte.
            var after = new byte[ViewKeys.PrefixBytes + 1 + request.After.Length + 1];
            all.AsSpan(0, ViewKeys.PrefixBytes + 1).CopyTo(after);
            request.After.Span.CopyTo(after.AsSpan(ViewKeys.PrefixBytes + 1));
            from = after.AsSpan().SequenceCompareTo(all) > 0 ? after : all;
        }

        var end = ViewKeys.EndOf(all);
        if (from.AsSpan().SequenceCompareTo(end) < 0)
        {
            source.Snapshot.Visit(from, end, Take);
        }
    }

    private bool Take(ReadOnlySpan<byte> key, ReadOnlySpan<byte> record)
    {
        if (_records.Count > 0 && (_records.Count >= request.MaxRecords || _bytes >= request.MaxBytes))
        {
            _more = true;
            return false;
        }

        var space = (RecordSpace)key[ViewKeys.PrefixBytes];
        var userKey = key[(ViewKeys.PrefixBytes + 1)..];
        _records.Add(new ScannedRecord(space, userKey.ToArray(), record.ToArray()));
        _bytes += userKey.Length + record.Length;
        return true;
    }
}

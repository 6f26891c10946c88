using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.Tests;

/// <summary>One node's storage with one loop and one shard, on either engine, that can be closed, crashed and opened again.</summary>
public sealed class StorageBench : IDisposable
{
    public static readonly ShardId Shard = new(7, 1);

    private readonly string? _directory;
    private readonly SimulatedDisk? _disk;
    private readonly Func<StorageOptions, StorageOptions> _adjust;
    private ulong _tag;

    public StorageBench(StorageEngine engine, Func<StorageOptions, StorageOptions>? adjust = null)
    {
        _adjust = adjust ?? (options => options);
        if (engine == StorageEngine.Memory)
        {
            _disk = new SimulatedDisk();
        }
        else
        {
            _directory = Directory.CreateTempSubdirectory("kvstore-storage-").FullName;
        }

        Open();
    }

    public NodeStorage Node { get; private set; } = null!;

    public StorageLoop Loop { get; private set; } = null!;

    public RecordingSink Sink { get; private set; } = null!;

    public IReplicaStorage Replica { get; private set; } = null!;

    public RecoveredReplica Recovered { get; private set; } = null!;

    public SimulatedDisk Disk => _disk!;

    public string DataDirectory => _directory!;

    public StorageOptions Options => _adjust(new StorageOptions
    {
        ClusterId = "bench",
        NodeId = new NodeId(3),
        Engine = _disk is null ? StorageEngine.RocksDb : StorageEngine.Memory,
        Directory = _directory,
        Disk = _disk,
        SegmentBytes = 256 * 1024,
    });

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public void Open()
    {
        Sink = new RecordingSink();
        Node = NodeStorage.Open(Options);
        Loop = Node.CreateLoop(Sink);
        Replica = Loop.OpenReplica(Shard, out var recovered);
        Recovered = recovered;
    }

    public void Reopen()
    {
        Node.Dispose();
        Open();
    }

    /// <summary>The power fails. On a real directory only the process "dies", which the page cache survives.</summary>
    public void CrashAndReopen(Random? random = null)
    {
        Node.Abandon();
        _disk?.Crash(random);
        Open();
    }

    public LogPosition Entry(ulong index, string payload, SyncUrgency urgency = SyncUrgency.Now) =>
        Replica.Append(LogRecordKind.Entry, new Term(1), new LogIndex(index), Bytes(payload), urgency);

    public void Sync(LogPosition position)
    {
        Loop.Submit();
        Sink.Until(() => Sink.Durable >= position, $"durable {position}");
    }

    public void Put(string key, string value, RecordSpace space = RecordSpace.Data) => Replica.Put(space, Bytes(key), Bytes(value));

    public void Remove(string key, RecordSpace space = RecordSpace.Data) => Replica.Remove(space, Bytes(key));

    public void Seal(ulong applied) => Replica.Seal(new ViewPosition(new LogIndex(applied), new Term(1), 0));

    /// <summary>Looks a record up, with a load if need be. Null: absent.</summary>
    public string? Get(string key, RecordSpace space = RecordSpace.Data)
    {
        for (; ; )
        {
            switch (Replica.Find(space, Bytes(key), out var record))
            {
                case RecordLookup.Found:
                    return Encoding.UTF8.GetString(record.Span);
                case RecordLookup.Absent:
                    return null;
                default:
                    var tag = ++_tag;
                    Replica.BeginLoad(space, Bytes(key), tag);
                    Loop.Submit();
                    Sink.Until(() => Sink.Loaded.Contains(tag), $"load of {key}");
                    break;
            }
        }
    }

    public void Flush(ulong applied)
    {
        Loop.Submit();
        Node.RequestFlush();
        Sink.Until(() => Replica.DurablePosition.Applied.Value >= applied || Reflush(), $"view durable at {applied}");
    }

    public ScanPage Scan(ScanRequest request)
    {
        var tag = ++_tag;
        Replica.BeginScan(request with { Tag = tag });
        Loop.Submit();
        Sink.Until(() => Sink.Pages.ContainsKey(tag), "a page");
        return Sink.Pages[tag];
    }

    public List<(RecordSpace Space, string Key, string Value)> ScanAll(RecordSpace? space = null, ulong pinned = 0, int pageRecords = 3, string prefix = "")
    {
        var all = new List<(RecordSpace, string, string)>();
        var request = new ScanRequest { Tag = 0, Space = space, MaxRecords = pageRecords, MaxBytes = 1 << 20, PinnedView = pinned, Prefix = Bytes(prefix) };
        for (; ; )
        {
            var page = Scan(request);
            foreach (var record in page.Records)
            {
                all.Add((record.Space, Encoding.UTF8.GetString(record.Key.Span), Encoding.UTF8.GetString(record.Record.Span)));
            }

            if (!page.More)
            {
                return all;
            }

            request = request with { After = page.Records[^1].Key, AfterSpace = page.Records[^1].Space };
        }
    }

    public void Dispose()
    {
        Node.Dispose();
        if (_directory is not null)
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    /// <summary>The slice may have been written only after the flush began.</summary>
    private bool Reflush()
    {
        Node.RequestFlush();
        return false;
    }
}

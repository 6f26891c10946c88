using System.Collections.Concurrent;
using System.Diagnostics;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.Tests;

/// <summary>A loop of its own: keeps what storage reports, and turns until a condition holds.</summary>
public sealed class RecordingSink : IStorageSink
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly ConcurrentQueue<StorageEvent> _events = new();
    private readonly AutoResetEvent _posted = new(false);

    public LogPosition Durable { get; private set; }

    public Exception? Failed { get; private set; }

    public int FailedEvents { get; private set; }

    public HashSet<ulong> Loaded { get; } = [];

    public Dictionary<ulong, ScanPage> Pages { get; } = [];

    public Dictionary<ShardId, ViewPosition> Installed { get; } = [];

    public void Post(in StorageEvent e)
    {
        _events.Enqueue(e);
        _posted.Set();
    }

    public void Take()
    {
        while (_events.TryDequeue(out var e))
        {
            switch (e.Kind)
            {
                case StorageEventKind.Durable:
                    Durable = e.Durable;
                    break;
                case StorageEventKind.Loaded:
                    Loaded.Add(e.Tag);
                    break;
                case StorageEventKind.Scanned:
                    Pages[e.Tag] = e.Page!;
                    break;
                case StorageEventKind.Installed:
                    Installed[e.Shard] = e.Position;
                    break;
                default:
                    Failed = e.Error;
                    FailedEvents++;
                    break;
            }
        }
    }

    public void Until(Func<bool> condition, string what)
    {
        var watch = Stopwatch.StartNew();
        for (Take(); !condition(); Take())
        {
            if (watch.Elapsed > Deadline)
            {
                throw new TimeoutException($"Never happened: {what}. Durable {Durable}, failed: {Failed}");
            }

            _posted.WaitOne(5);
        }
    }
}

using System.Threading.Channels;
using KvStore.Contracts.V1;

namespace KvStore.Node.Watching;

/// <summary>
/// One watch of a client: its readers, one for each shard, and what they have to tell. Whoever writes it out calls <see cref="NextAsync"/> when the last batch is written, so a slow connection slows nothing but this.
/// </summary>
internal sealed class WatchStream : IAsyncDisposable
{
    /// <summary>A batch is cut when it is larger, give or take its last event.</summary>
    private const int BatchBytes = 1_048_576;

    /// <summary>Batches that other nodes may have sent and that are not written yet.</summary>
    private const int RelayedBatches = 4;

    private readonly Channel<object> _work = Channel.CreateUnbounded<object>(new UnboundedChannelOptions { SingleReader = true });
    private readonly SemaphoreSlim _relayRoom = new(RelayedBatches);
    private readonly CancellationTokenSource _end = new();
    private readonly List<ShardWatcher> _watchers = [];
    private readonly List<Task> _relays = [];
    private readonly Queue<WatchEvent> _events = new();
    private readonly List<WatchEvent> _filled = [];
    private bool _ended;

    public WatchStream(WatchHub hub, WatchPlan plan)
    {
        Hub = hub;
        Plan = plan;
    }

    public WatchHub Hub { get; }

    public WatchPlan Plan { get; }

    /// <summary>For the hub, which opens it.</summary>
    public void Add(ShardWatcher watcher) => _watchers.Add(watcher);

    public void Add(WatchRelay relay) => _relays.Add(relay.RunAsync(this, _end.Token));

    /// <summary>Any thread: a reader has something to tell.</summary>
    public void Wake(ShardWatcher watcher) => _work.Writer.TryWrite(watcher);

    /// <summary>Another node has told something; waits until there is room.</summary>
    public async Task RelayAsync(WatchBatch batch, CancellationToken cancellation)
    {
        await _relayRoom.WaitAsync(cancellation);
        _work.Writer.TryWrite(batch);
    }

    /// <summary>Waits for the next events. Null: the last were told.</summary>
    public async ValueTask<WatchBatch?> NextAsync(CancellationToken cancellation)
    {
        while (_events.Count == 0)
        {
            if (_ended)
            {
                return null;
            }

            Take(await _work.Reader.ReadAsync(cancellation));
        }

        var batch = new WatchBatch { Node = Hub.Self.Value };
        int bytes = 0;
        while (bytes < BatchBytes && _events.TryDequeue(out WatchEvent? told))
        {
            batch.Events.Add(told);
            bytes += told.CalculateSize();
        }

        return batch;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ShardWatcher watcher in _watchers)
        {
            watcher.Feed.Remove(watcher);
        }

        await _end.CancelAsync();
        await Task.WhenAll(_relays);
        _end.Dispose();
        _relayRoom.Dispose();
        Hub.OnClosed();
    }

    private void Take(object work)
    {
        if (work is WatchBatch relayed)
        {
            _relayRoom.Release();
            foreach (WatchEvent told in relayed.Events)
            {
                _events.Enqueue(told);
                _ended |= told.Kind == WatchEventKind.Ended;
            }

            return;
        }

        _ended |= !((ShardWatcher)work).Fill(_filled);
        foreach (WatchEvent told in _filled)
        {
            _events.Enqueue(told);
        }

        _filled.Clear();
    }
}

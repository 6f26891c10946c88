using KvStore.Contracts.V1;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;

namespace KvStore.Node.Watching;

/// <summary>
/// What the keys of a shard hold when a watch begins, page by page, woven together with the changes so that nothing is missed and nothing told twice. A page says which changes are in it. Between two pages the reader
/// drains the changes so far: one of a key that was read already is told if it is not in that key's page; one of a key that is still to be read is dropped, since its page will have it.
/// </summary>
internal sealed class InitialValues
{
    private const int PageRecords = 256;

    private readonly ShardWatcher _watcher;
    private readonly List<(byte[] LastKey, long Holds)> _pages = [];
    private Arrival? _arrived;
    private bool _drains;
    private long _mostHeld;
    private bool _last;
    private bool _told;

    public InitialValues(ShardWatcher watcher)
    {
        _watcher = watcher;
        Request(default);
    }

    /// <summary>All was told; only changes that are in it must still be left out.</summary>
    public bool IsWhole => _told;

    public bool IsOverAt(long tail) => _told && tail >= _mostHeld;

    /// <summary>Tells the page that was asked for. False: it has not come yet.</summary>
    public bool TryAdvance(List<WatchEvent> events)
    {
        if (_last)
        {
            return true;
        }

        if (Interlocked.Exchange(ref _arrived, null) is { } arrival)
        {
            _drains = true;
            Tell(arrival.Page, events);
        }

        return _drains;
    }

    /// <summary>All changes so far were read: the next page may be asked for.</summary>
    public void OnDrained(List<WatchEvent> events, byte[] position)
    {
        if (_last)
        {
            if (!_told)
            {
                _told = true;
                events.Add(WatchEvents.Mark(WatchEventKind.CaughtUp, _watcher.Feed.Shard.Number, position));
            }
        }
        else if (_drains)
        {
            _drains = false;
            Request(_pages[^1].LastKey);
        }
    }

    /// <summary>Whether a change is to be told now.</summary>
    public bool Passes(in WatchItem item)
    {
        ReadOnlySpan<byte> key = item.Change.Key.Span;
        int low = 0, high = _pages.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_pages[middle].LastKey.AsSpan().SequenceCompareTo(key) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low < _pages.Count ? item.Number >= _pages[low].Holds : _last && item.Number >= _mostHeld;
    }

    private void Request(ReadOnlyMemory<byte> after) => _watcher.RequestPage(after, _watcher.Range.IsPrefix ? PageRecords : 1, page =>
    {
        Volatile.Write(ref _arrived, new Arrival(page));
        _watcher.Wake();
    });

    private void Tell(WatchPage page, List<WatchEvent> events)
    {
        foreach (ScannedRecord record in page.Page.Records)
        {
            if (_watcher.Range.Holds(record.Key.Span) && WatchEvents.Current(record, page, _watcher) is { } current)
            {
                events.Add(current);
            }
        }

        _mostHeld = Math.Max(_mostHeld, page.Holds);
        _last = !page.Page.More || !_watcher.Range.IsPrefix || page.Page.Records.Count == 0;
        if (page.Page.Records.Count > 0)
        {
            _pages.Add((page.Page.Records[^1].Key.ToArray(), page.Holds));
        }
    }

    private sealed record Arrival(WatchPage Page);
}

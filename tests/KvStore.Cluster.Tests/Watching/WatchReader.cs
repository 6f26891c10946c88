using KvStore.Client;

namespace KvStore.Cluster.Tests.Watching;

/// <summary>Reads a watch in the background and keeps what it tells.</summary>
internal sealed class WatchReader : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly List<KvChange<string>> _changes = [];
    private readonly Lock _gate = new();
    private readonly Task _reading;
    private string? _token;
    private uint _node;

    public WatchReader(IKvKeyspace keyspace, KvRange range, KvWatchOptions? options = null)
    {
        _reading = Task.Run(() => ReadAsync(keyspace.WatchAsync<string>(range, (options ?? new KvWatchOptions()) with { TellProgress = true }, _stop.Token)));
    }

    /// <summary>The newest token; null: not begun yet.</summary>
    public string? Token => Volatile.Read(ref _token);

    /// <summary>The node that serves it.</summary>
    public uint Node => Volatile.Read(ref _node);

    /// <summary>All but progress.</summary>
    public IReadOnlyList<KvChange<string>> Changes
    {
        get
        {
            lock (_gate)
            {
                return [.. _changes];
            }
        }
    }

    /// <summary>"k=v", "k=v|w", "-k" for a delete, "~k" for an expiry, "gap".</summary>
    public IReadOnlyList<string> Told => [.. Changes.Select(TextOf)];

    public int Gaps => Changes.Count(change => change.Kind == KvChangeKind.Gap);

    /// <summary>The values of one key, in the order in which they were told.</summary>
    public IReadOnlyList<string> ValuesOf(string key) => [.. Changes.Where(change => change.Kind is KvChangeKind.Put or KvChangeKind.Current && change.Key == key).Select(change => change.Value!)];

    public static string TextOf(KvChange<string> change) => change.Kind switch
    {
        KvChangeKind.Put or KvChangeKind.Current when change.Siblings.Count > 1 => $"{change.Key}={string.Join('|', change.Siblings.Select(sibling => sibling.Value).Order())}",
        KvChangeKind.Put or KvChangeKind.Current => $"{change.Key}={change.Value}",
        KvChangeKind.Deleted => $"-{change.Key}",
        KvChangeKind.Expired => $"~{change.Key}",
        _ => change.Kind.ToString().ToLowerInvariant(),
    };

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _reading;
        _stop.Dispose();
    }

    private async Task ReadAsync(IAsyncEnumerable<KvChange<string>> changes)
    {
        try
        {
            await foreach (KvChange<string> change in changes)
            {
                lock (_gate)
                {
                    if (change.Kind != KvChangeKind.Progress)
                    {
                        _changes.Add(change);
                    }
                }

                Volatile.Write(ref _node, change.Node);
                if (change.Token is { } token)
                {
                    Volatile.Write(ref _token, token);
                }
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // The test has seen enough.
        }
    }
}

using KvStore.Client;

namespace KvStore.Cluster.Tests.Caching;

/// <summary>A real keyspace whose first conditional write or write in context waits, so that a test can put something between a read and the write that follows it.</summary>
internal sealed class PausedKeyspace(IKvKeyspace real) : IKvKeyspace
{
    private readonly TaskCompletionSource _about = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public string Name => real.Name;

    public Task IsAboutToWrite => _about.Task.WaitAsync(TimeSpan.FromSeconds(30));

    public void GoOn() => _goOn.TrySetResult();

    public ValueTask<KvEntry<T>?> GetAsync<T>(KvKey key, KvReadOptions? options = null, CancellationToken cancellationToken = default) => real.GetAsync<T>(key, options, cancellationToken);

    public ValueTask<KvWriteResult> PutAsync<T>(KvKey key, T value, KvWriteOptions? options = null, CancellationToken cancellationToken = default) => real.PutAsync(key, value, options, cancellationToken);

    public async ValueTask<KvWriteResult> TryPutAsync<T>(KvKey key, T value, KvVersion ifVersion, KvWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        await PauseAsync();
        return await real.TryPutAsync(key, value, ifVersion, options, cancellationToken);
    }

    public async ValueTask<KvWriteResult> PutInContextAsync<T>(KvKey key, T value, KvVersion context, KvWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        await PauseAsync();
        return await real.PutInContextAsync(key, value, context, options, cancellationToken);
    }

    public ValueTask<KvWriteResult> DeleteAsync(KvKey key, KvWriteOptions? options = null, CancellationToken cancellationToken = default) => real.DeleteAsync(key, options, cancellationToken);

    public ValueTask<KvWriteResult> TryDeleteAsync(KvKey key, KvVersion ifVersion, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        real.TryDeleteAsync(key, ifVersion, options, cancellationToken);

    public ValueTask<KvWriteResult> DeleteInContextAsync(KvKey key, KvVersion context, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        real.DeleteInContextAsync(key, context, options, cancellationToken);

    public ValueTask<long> IncrementAsync(KvKey key, long by = 1, KvWriteOptions? options = null, CancellationToken cancellationToken = default) => real.IncrementAsync(key, by, options, cancellationToken);

    public ValueTask<KvWriteResult> ResolveAsync<T>(KvEntry<T> seen, T value, KvWriteOptions? options = null, CancellationToken cancellationToken = default) => real.ResolveAsync(seen, value, options, cancellationToken);

    public IAsyncEnumerable<KvConflict> ConflictsAsync(KvRange range, KvScanOptions? options = null, CancellationToken cancellationToken = default) => real.ConflictsAsync(range, options, cancellationToken);

    public IAsyncEnumerable<KvEntry<T>> ScanAsync<T>(KvRange range, KvScanOptions? options = null, CancellationToken cancellationToken = default) => real.ScanAsync<T>(range, options, cancellationToken);

    public ValueTask<KvTxnResult> TransactAsync(KvTxn txn, KvWriteOptions? options = null, CancellationToken cancellationToken = default) => real.TransactAsync(txn, options, cancellationToken);

    public IAsyncEnumerable<KvChange<T>> WatchAsync<T>(KvRange range, KvWatchOptions? options = null, CancellationToken cancellationToken = default) => real.WatchAsync<T>(range, options, cancellationToken);

    public IAsyncEnumerable<KvChange<T>> WatchAsync<T>(KvKey key, KvWatchOptions? options = null, CancellationToken cancellationToken = default) => real.WatchAsync<T>(key, options, cancellationToken);

    private async Task PauseAsync()
    {
        _about.TrySetResult();
        await _goOn.Task;
    }
}

/// <summary>A client that has this one keyspace.</summary>
internal sealed class ClientOf(IKvKeyspace keyspace) : IKvClient
{
    public IKvAdmin Admin => throw new NotSupportedException();

    public KvTopology? Topology => null;

    public IKvKeyspace Keyspace(string name) => keyspace;

    public IKvKeyspace Keyspace(string name, KvKeyspaceOptions options) => keyspace;

    public KvSession CreateSession(string? token = null) => throw new NotSupportedException();

    public ValueTask<KvTopology> GetTopologyAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

using System.Diagnostics;
using System.Globalization;
using KvStore.Client;

namespace KvStore.Cli.Bench;

/// <summary>Many watches of one key each, and how long after its writing each change was told. A value is the moment of its writing.</summary>
internal sealed class WatchReaders(IKvKeyspace keyspace, CancellationToken stop)
{
    /// <summary>Opened at a time.</summary>
    private const int AtOnce = 64;

    private readonly Lock _gate = new();
    private readonly List<double> _delaysMs = [];
    private readonly List<Task> _reading = [];
    private int _told;

    public async Task OpenAsync(int watches, Func<int, string> keyOf)
    {
        using var room = new SemaphoreSlim(AtOnce);
        for (var number = 0; number < watches; number++)
        {
            await room.WaitAsync(stop);
            var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _reading.Add(ReadAsync(keyOf(number), begun));
            _ = begun.Task.ContinueWith(_ => room.Release(), TaskScheduler.Default);
        }

        for (var open = 0; open < AtOnce; open++)
        {
            await room.WaitAsync(stop);
        }
    }

    /// <summary>Waits until so many changes were told.</summary>
    public async Task WhenToldAsync(int changes, CancellationToken cancellation)
    {
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (Volatile.Read(ref _told) < changes && await look.WaitForNextTickAsync(cancellation))
        {
        }
    }

    public Task WhenEndedAsync() => Task.WhenAll(_reading);

    public string Describe()
    {
        lock (_gate)
        {
            _delaysMs.Sort();
            double At(double share) => _delaysMs.Count == 0 ? 0 : _delaysMs[Math.Min(_delaysMs.Count - 1, (int)(share * _delaysMs.Count))];
            return string.Create(CultureInfo.InvariantCulture, $"p50 {At(0.5):0.0} ms, p99 {At(0.99):0.0} ms, p99.9 {At(0.999):0.0} ms, most {At(1):0.0} ms ({_delaysMs.Count:N0} changes)");
        }
    }

    private async Task ReadAsync(string key, TaskCompletionSource begun)
    {
        try
        {
            await foreach (var change in keyspace.WatchAsync<byte[]>((KvKey)key, new KvWatchOptions { TellProgress = true, Timeout = TimeSpan.FromMinutes(1) }, stop))
            {
                begun.TrySetResult();
                if (change.Kind == KvChangeKind.Put && BitConverter.ToInt64(change.Value) is > 0 and var written)
                {
                    var delay = Stopwatch.GetElapsedTime(written).TotalMilliseconds;
                    lock (_gate)
                    {
                        _delaysMs.Add(delay);
                        _told++;
                    }
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The measurement is over.
        }
        finally
        {
            begun.TrySetResult();
        }
    }
}

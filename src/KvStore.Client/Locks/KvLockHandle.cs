using KvStore.Client.Locks;

namespace KvStore.Client;

/// <summary>A lock that is held. It is renewed in the background until it is released or lost. Dispose it to release it.</summary>
public sealed class KvLockHandle : IAsyncDisposable
{
    private readonly IKvKeyspace _keyspace;
    private readonly KvLockOptions _options;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _lost = new();
    private readonly CancellationTokenSource _stopping = new();
    private LockRecord _record;
    private KvVersion _version;
    private long _renewedAt;
    private Task _renewing = Task.CompletedTask;
    private int _released;

    internal KvLockHandle(IKvKeyspace keyspace, string name, LockRecord record, KvVersion version, KvLockOptions options, TimeProvider time, long takenAt)
    {
        _keyspace = keyspace;
        Name = name;
        _record = record;
        _version = version;
        _options = options;
        _time = time;
        _renewedAt = takenAt;
    }

    /// <summary>The key that stands for the lock.</summary>
    public string Name { get; }

    /// <summary>Larger than that of every holder before. Give it to what the lock protects, and have smaller ones refused there.</summary>
    public long FencingToken => _record.Token;

    /// <summary>Cancelled when the lock is lost: somebody else has it, or it could not be renewed for four fifths of its lease. Also when it was released.</summary>
    public CancellationToken Lost => _lost.Token;

    private TimeSpan SelfLimit => _options.Lease * 0.8;

    /// <summary>Releases the lock, so that the next waiter gets it at once. If that can't be done it is free after its lease.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _released, 1) != 0)
        {
            return;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        await _renewing.ConfigureAwait(false);
        bool held = !_lost.IsCancellationRequested;
        await _lost.CancelAsync().ConfigureAwait(false);
        if (held)
        {
            try
            {
                await ReleaseAsync().ConfigureAwait(false);
            }
            catch (Exception unreleased) when (unreleased is KvException or FormatException)
            {
                // It runs out by itself.
            }
        }
    }

    internal KvLockHandle Begin()
    {
        _renewing = Task.Run(KeepAsync);
        return this;
    }

    /// <summary>Writes the record anew, under a new version. False: somebody else's stands there now, or nobody can tell in time.</summary>
    internal async Task<bool> RenewAsync()
    {
        while (true)
        {
            TimeSpan left = SelfLimit - _time.GetElapsedTime(_renewedAt);
            if (left <= TimeSpan.Zero)
            {
                return false;
            }

            long before = _time.GetTimestamp();
            try
            {
                KvWriteResult written = await _keyspace.TryPutAsync(Name, _record.Encode(), _version, new KvWriteOptions { Timeout = left, RetryNoQuorumUntilDeadline = true }, _stopping.Token).ConfigureAwait(false);
                if (written.IsDone)
                {
                    (_version, _renewedAt) = (written.Version, before);
                    return true;
                }

                // The condition failed, or the outcome is unknown: an earlier renewal of ours may be what stands there.
                KvEntry<ReadOnlyMemory<byte>>? entry = await _keyspace.GetAsync<ReadOnlyMemory<byte>>(Name, new KvReadOptions { Level = KvReadLevel.Linearizable, Timeout = left }, _stopping.Token).ConfigureAwait(false);
                if (entry is null || LockRecord.Decode(entry.Value.Span) != _record)
                {
                    return false;
                }

                _version = entry.Version;
            }
            catch (KvException)
            {
                // Refused for now; go on as long as the lease lets.
                await PauseAsync().ConfigureAwait(false);
            }
        }
    }

    private async Task ReleaseAsync()
    {
        var options = new KvWriteOptions { Timeout = SelfLimit };
        if ((await _keyspace.TryPutAsync(Name, _record.Released().Encode(), _version, options).ConfigureAwait(false)).IsDone)
        {
            return;
        }

        // The renewal that was stopped on its way may have taken effect.
        KvEntry<ReadOnlyMemory<byte>>? entry = await _keyspace.GetAsync<ReadOnlyMemory<byte>>(Name, new KvReadOptions { Level = KvReadLevel.Linearizable, Timeout = SelfLimit }).ConfigureAwait(false);
        if (entry is not null && LockRecord.Decode(entry.Value.Span) == _record)
        {
            await _keyspace.TryPutAsync(Name, _record.Released().Encode(), entry.Version, options).ConfigureAwait(false);
        }
    }

    private async Task KeepAsync()
    {
        try
        {
            using var timer = new PeriodicTimer(_options.Lease / 3, _time);
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false))
            {
                if (!await RenewAsync().ConfigureAwait(false))
                {
                    break;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Released: the lock is still ours until the record says otherwise.
            return;
        }
        catch (FormatException)
        {
            // Somebody has written something else over the lock.
        }

        await _lost.CancelAsync().ConfigureAwait(false);
    }

    private async Task PauseAsync()
    {
        using var pause = new PeriodicTimer(_options.PollInterval, _time);
        await pause.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false);
    }
}

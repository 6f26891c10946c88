using KvStore.Client.Locks;

namespace KvStore.Client;

/// <summary>
/// Locks over a cp keyspace. A lock is a key; taking, renewing and releasing it are compare-and-sets, so at most one holder's record stands there at any time.
/// </summary>
/// <remarks>
/// <para>No lock service can stop a holder that was paused: it may wake up after its lease and go on for a moment. So every holder gets a <see cref="KvLockHandle.FencingToken"/> that is larger than all before it;
/// give it to whatever the lock protects, and let that refuse smaller tokens than it has seen. (Kleppmann, "How to do distributed locking", 2016; what happens without it: Jepsen, etcd 3.4.3.)</para>
/// <para>No clocks are compared between machines. A waiter takes a lock over when it has seen the record unchanged for a whole lease on its own clock; a holder gives up after four fifths of it. Only the rates of
/// clocks matter, up to a fifth.</para>
/// </remarks>
/// <example><code>
/// var locks = new KvLocks(client.Keyspace("locks"));
/// await using KvLockHandle held = await locks.AcquireAsync("nightly-report", cancellationToken);
/// await WriteReportAsync(held.FencingToken, held.Lost);
/// </code></example>
public sealed class KvLocks
{
    private readonly IKvKeyspace _keyspace;
    private readonly KvLockOptions _options;
    private readonly TimeProvider _time;

    /// <summary>Locks of a keyspace.</summary>
    /// <param name="keyspace">A cp keyspace with sync replication; anything weaker could forget who holds a lock.</param>
    /// <param name="options">Null: the defaults.</param>
    /// <param name="time">Null: the system's.</param>
    public KvLocks(IKvKeyspace keyspace, KvLockOptions? options = null, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(keyspace);
        _keyspace = keyspace;
        _options = options ?? new KvLockOptions();
        _options.ThrowIfInvalid();
        _time = time ?? TimeProvider.System;
    }

    /// <summary>Takes the lock if it is free.</summary>
    /// <param name="name">The key that stands for the lock.</param>
    /// <param name="cancellationToken">Stops the attempt. If it was under way the lock may have been taken; it is then free again after its lease.</param>
    /// <returns>Null: somebody holds it.</returns>
    /// <exception cref="KvException">The keyspace can't answer, or is none that can hold locks.</exception>
    public async ValueTask<KvLockHandle?> TryAcquireAsync(string name, CancellationToken cancellationToken = default)
    {
        var attempt = new LockAttempt(_keyspace, name, _options, _time);
        return await attempt.TryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Waits until the lock is free, or its holder has been silent for its lease, and takes it.</summary>
    /// <param name="name">The key that stands for the lock.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">The keyspace can't answer, or is none that can hold locks.</exception>
    /// <exception cref="OperationCanceledException">The waiting was stopped.</exception>
    public async ValueTask<KvLockHandle> AcquireAsync(string name, CancellationToken cancellationToken = default)
    {
        var attempt = new LockAttempt(_keyspace, name, _options, _time);
        using var timer = new PeriodicTimer(_options.PollInterval, _time);
        while (true)
        {
            if (await attempt.TryAsync(cancellationToken).ConfigureAwait(false) is { } held)
            {
                return held;
            }

            await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Stands for election again and again: whenever this caller becomes the leader, <paramref name="lead"/> runs until it returns, the leadership is lost, or the cancellation is asked for. Returns only by cancellation or
    /// by an exception of <paramref name="lead"/>.
    /// </summary>
    /// <param name="name">The key that stands for the office.</param>
    /// <param name="lead">What a leader does. Its token is cancelled when the leadership is lost; the handle has the fencing token.</param>
    /// <param name="cancellationToken">Ends it all.</param>
    public async Task LeadAsync(string name, Func<KvLockHandle, CancellationToken, Task> lead, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(lead);
        while (true)
        {
            KvLockHandle held = await AcquireAsync(name, cancellationToken).ConfigureAwait(false);
            await using (held.ConfigureAwait(false))
            {
                using var leading = CancellationTokenSource.CreateLinkedTokenSource(held.Lost, cancellationToken);
                try
                {
                    await lead(held, leading.Token).ConfigureAwait(false);
                }
                catch (OperationCanceledException) when (held.Lost.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
                {
                    // Lost the office: stand again.
                }
            }

            cancellationToken.ThrowIfCancellationRequested();
        }
    }
}

using System.Buffers;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Client.Caching;

/// <summary>
/// A keyspace as <see cref="IDistributedCache"/>: for sessions, for HybridCache's second level (which finds <see cref="IBufferDistributedCache"/> and copies less), and for whatever else wants one. Thread-safe. Make it with
/// AddKvStoreCache.
/// </summary>
/// <remarks>
/// <para>Absolute expiration is the store's time to live. A sliding value has its window, and is written again with a new time to live when it is read and enough of that has passed (<see cref="KvCacheOptions.RenewAfter"/>). A
/// renewal that fails does not fail the get; the value keeps the time that it has.</para>
/// <para>A renewal never undoes a set or a removal. In cp keyspaces it is a compare-and-set, and does nothing when something came between. In ap keyspaces both may stand side by side for a moment; the value that was set last
/// counts, by the clocks of its setters, and the next renewal or set leaves one. That is wrong only if these clocks differ by more than <see cref="KvCacheOptions.RenewAfter"/> of the window. A removal leaves a mark for ten
/// minutes, as long as an operation may be under way. An adaptive keyspace that serves provisionally renews nothing.</para>
/// <para>Keys are at most 4,096 bytes of UTF-8 with the prefix, values at most <see cref="MaxValueBytes"/>; what is longer is refused with an <see cref="ArgumentException"/> before anything is sent.</para>
/// <para>The synchronous methods wait for the asynchronous ones, which need no particular thread to go on: they can't deadlock, with a synchronization context or without, but each blocks a thread for as long as it takes, at most
/// <see cref="KvCacheOptions.Timeout"/>.</para>
/// </remarks>
public sealed class KvDistributedCache : IBufferDistributedCache
{
    /// <summary>The longest value, in bytes: 1 MiB less a small header.</summary>
    public const int MaxValueBytes = CacheRecord.MaxValueBytes;

    /// <summary>As long as the longest deadline of an operation: no renewal that has read a removed value can come later.</summary>
    private static readonly TimeSpan RemovalMark = TimeSpan.FromMilliseconds(Contracts.KvLimits.MaxTimeoutMs);

    private readonly IKvKeyspace _keyspace;
    private readonly KvCacheOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly FailureRule _rule;
    private readonly KvReadOptions _read;
    private readonly KvWriteOptions _write;

    /// <summary>A cache over a keyspace of a client.</summary>
    /// <param name="client">The client; <see cref="KvCacheOptions.ClientName"/> is not looked at.</param>
    /// <param name="options">The settings; not to be changed afterwards.</param>
    /// <param name="loggers">Where to log to; null: nowhere.</param>
    /// <param name="time">The clock that absolute expirations are measured by; null: the system's.</param>
    public KvDistributedCache(IKvClient client, KvCacheOptions options, ILoggerFactory? loggers = null, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentNullException.ThrowIfNull(options);
        _keyspace = client.Keyspace(options.Keyspace);
        _options = options;
        _time = time ?? TimeProvider.System;
        _log = (loggers ?? NullLoggerFactory.Instance).CreateLogger<KvDistributedCache>();
        _rule = new FailureRule(options.WhenUnavailable, options.Keyspace, _log);
        _read = new KvReadOptions { Level = options.ReadLevel, Timeout = options.Timeout };
        _write = new KvWriteOptions { Timeout = options.Timeout };
    }

    /// <summary>The keyspace that the values are in.</summary>
    public string KeyspaceName => _keyspace.Name;

    /// <inheritdoc/>
    public byte[]? Get(string key) => GetAsync(key).GetAwaiter().GetResult();

    /// <summary>The value of a key, or null. Renews a sliding value.</summary>
    /// <exception cref="KvException">The store can't answer, unless <see cref="KvCacheOptions.WhenUnavailable"/> makes that a miss.</exception>
    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default) => (await FindAsync(key, token).ConfigureAwait(false))?.Value.ToArray();

    /// <inheritdoc/>
    public bool TryGet(string key, IBufferWriter<byte> destination) => TryGetAsync(key, destination).AsTask().GetAwaiter().GetResult();

    /// <summary>Copies the value of a key to a buffer, and says whether there was one. Renews a sliding value.</summary>
    /// <exception cref="KvException">The store can't answer, unless <see cref="KvCacheOptions.WhenUnavailable"/> makes that a miss.</exception>
    public async ValueTask<bool> TryGetAsync(string key, IBufferWriter<byte> destination, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        if (await FindAsync(key, token).ConfigureAwait(false) is not { } record)
        {
            return false;
        }

        destination.Write(record.Value.Span);
        return true;
    }

    /// <inheritdoc/>
    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => SetAsync(key, value, options).GetAwaiter().GetResult();

    /// <summary>Sets a value. Without any expiration it has the time to live that is the keyspace's default. The value is copied at once.</summary>
    /// <exception cref="ArgumentException">Key or value are too long, or the absolute expiration has passed.</exception>
    /// <exception cref="KvException">The store has refused it, or nobody knows whether it was set; unless <see cref="KvCacheOptions.WhenUnavailable"/> says that this does not matter.</exception>
    public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(value);
        return SetAsync(key, new ReadOnlySequence<byte>(value), options, token).AsTask();
    }

    /// <inheritdoc/>
    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options) => SetAsync(key, value, options).AsTask().GetAwaiter().GetResult();

    /// <inheritdoc cref="SetAsync(string, byte[], DistributedCacheEntryOptions, CancellationToken)"/>
    public async ValueTask SetAsync(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        KvKey name = NameOf(key);
        if (value.Length > MaxValueBytes)
        {
            throw new ArgumentException($"A value of the cache has at most {MaxValueBytes} bytes; this one has {value.Length}. Keep large things elsewhere, or cache their parts.", nameof(value));
        }

        DateTimeOffset now = _time.GetUtcNow();
        EntryLifetime lifetime = EntryLifetime.Of(options, now);
        byte[] record = CacheRecord.Prepare(now, lifetime, value.Length, out Memory<byte> room);
        value.CopyTo(room.Span);
        try
        {
            await _keyspace.PutAsync(name, record, _write with { Ttl = lifetime.Ttl }, token).ConfigureAwait(false);
            _rule.Answered();
        }
        catch (KvException failure) when (_rule.Forgives(failure))
        {
        }
    }

    /// <inheritdoc/>
    public void Refresh(string key) => RefreshAsync(key).GetAwaiter().GetResult();

    /// <summary>Renews a sliding value, if enough of its window has passed. Does nothing for others.</summary>
    /// <exception cref="KvException">The store can't answer, unless <see cref="KvCacheOptions.WhenUnavailable"/> says that this does not matter.</exception>
    public async Task RefreshAsync(string key, CancellationToken token = default)
    {
        try
        {
            if (await ReadAsync(NameOf(key), token).ConfigureAwait(false) is { } entry)
            {
                await RenewAsync(entry, CacheRecord.Of(entry), token).ConfigureAwait(false);
            }
        }
        catch (KvException failure) when (_rule.Forgives(failure))
        {
        }
    }

    /// <inheritdoc/>
    public void Remove(string key) => RemoveAsync(key).GetAwaiter().GetResult();

    /// <summary>Removes a value. Fails where the store can't do that, whatever <see cref="KvCacheOptions.WhenUnavailable"/> says.</summary>
    /// <exception cref="KvException">It was refused, or nobody knows whether it was done.</exception>
    public async Task RemoveAsync(string key, CancellationToken token = default)
    {
        await _keyspace.PutAsync(NameOf(key), CacheRecord.Removed(_time.GetUtcNow()), _write with { Ttl = RemovalMark }, token).ConfigureAwait(false);
        _rule.Answered();
    }

    private async ValueTask<CacheRecord?> FindAsync(string key, CancellationToken token)
    {
        KvEntry<ReadOnlyMemory<byte>>? entry;
        try
        {
            entry = await ReadAsync(NameOf(key), token).ConfigureAwait(false);
        }
        catch (KvException failure) when (_rule.Forgives(failure))
        {
            return null;
        }

        if (entry is null || CacheRecord.Of(entry) is not { IsRemoved: false } record)
        {
            return null;
        }

        try
        {
            await RenewAsync(entry, record, token).ConfigureAwait(false);
        }
        catch (KvException failure)
        {
            _log.NotRenewed(_keyspace.Name, failure.Message);
        }

        return record;
    }

    private async ValueTask<KvEntry<ReadOnlyMemory<byte>>?> ReadAsync(KvKey key, CancellationToken token)
    {
        KvEntry<ReadOnlyMemory<byte>>? entry = await _keyspace.GetAsync<ReadOnlyMemory<byte>>(key, _read, token).ConfigureAwait(false);
        _rule.Answered();
        return entry;
    }

    /// <summary>Writes a sliding value again, if that is due, in the place of what was read and of nothing else.</summary>
    /// <exception cref="KvException">It was refused, or nobody knows whether it was done.</exception>
    private async ValueTask RenewAsync(KvEntry<ReadOnlyMemory<byte>> entry, CacheRecord record, CancellationToken token)
    {
        if (record.DueRenewal(entry, _time.GetUtcNow(), _options.RenewAfter) is not { } ttl)
        {
            return;
        }

        KvWriteOptions options = _write with { Ttl = ttl };
        switch (entry.Regime)
        {
            case KvRegime.Open:
                await _keyspace.PutInContextAsync(entry.Key, record.Bytes, entry.Version, options, token).ConfigureAwait(false);
                break;
            case KvRegime.Ordered:
                // Not done: something newer has come, which is as good. Unknown: it may be renewed, and the next access finds out.
                await _keyspace.TryPutAsync(entry.Key, record.Bytes, entry.Version, options, token).ConfigureAwait(false);
                break;
            default:
                // A provisional write has no condition: it could undo a set that came between.
                break;
        }
    }

    private KvKey NameOf(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        return _options.KeyPrefix + key;
    }
}

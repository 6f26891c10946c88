using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Text;
using KvStore.Contracts;
using Microsoft.AspNetCore.OutputCaching;

namespace KvStore.Client.OutputCaching;

/// <summary>ASP.NET Core's output cache in a keyspace. Thread-safe. Make it with AddKvStoreOutputCache.</summary>
/// <remarks>
/// <para>Evicting a tag costs one write, however many pages have it; each hit reads the page, and then its tags at once. A page is evicted for whoever reads the eviction: at once with linearizable reads of a cp keyspace, and in an
/// ap keyspace when it has reached the replica that is asked, which takes as long as a cut between the two. A page that was rendered before an eviction and is stored after it stays, as in every store of this interface.</para>
/// <para>A page with its tags has at most 1 MiB. What is larger, or can't be stored, is served and not cached: the middleware logs the failure and goes on.</para>
/// </remarks>
public sealed class KvOutputCacheStore : IOutputCacheStore, IOutputCacheBufferStore
{
    private const string PagePrefix = "page/";
    private const string HashedPagePrefix = "page-sha256/";
    private const string TagPrefix = "tag/";

    /// <summary>Longer keys (long URLs) are stored under their hash.</summary>
    private const int MaxPlainKeyBytes = 1_024;

    /// <summary>A stamp lives so many times as long as the page that it was made for. When it is too old for a new page it is replaced, and the tag's other pages are missed once.</summary>
    private const int StampLifetimes = 10;

    private static readonly TimeSpan LeastStampLife = TimeSpan.FromDays(1);
    private static readonly TimeSpan LongestLife = TimeSpan.FromMilliseconds(KvLimits.MaxTtlMs);

    private readonly IKvKeyspace _keyspace;
    private readonly KvReadOptions _read;
    private readonly KvWriteOptions _write;

    /// <summary>Lets one stamp be made at a time: pages that are stored at the same moment share it.</summary>
    private readonly SemaphoreSlim _stamping = new(1);

    /// <summary>An output cache over a keyspace of a client.</summary>
    /// <param name="client">The client; <see cref="KvOutputCacheOptions.ClientName"/> is not looked at.</param>
    /// <param name="options">The settings; not to be changed afterwards.</param>
    public KvOutputCacheStore(IKvClient client, KvOutputCacheOptions options)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentNullException.ThrowIfNull(options);
        _keyspace = client.Keyspace(options.Keyspace);
        _read = new KvReadOptions { Level = options.ReadLevel, Timeout = options.Timeout };
        _write = new KvWriteOptions { Timeout = options.Timeout };
    }

    /// <summary>The page of a key, or null.</summary>
    /// <exception cref="KvException">The store can't answer.</exception>
    public async ValueTask<byte[]?> GetAsync(string key, CancellationToken cancellationToken) => (await FindAsync(key, cancellationToken).ConfigureAwait(false))?.ToArray();

    /// <summary>Copies the page of a key to a pipe, and says whether there was one.</summary>
    /// <exception cref="KvException">The store can't answer.</exception>
    public async ValueTask<bool> TryGetAsync(string key, PipeWriter destination, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(destination);
        if (await FindAsync(key, cancellationToken).ConfigureAwait(false) is not { } page)
        {
            return false;
        }

        await destination.WriteAsync(page, cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>Stores a page with its tags.</summary>
    /// <exception cref="ArgumentException">It is too large.</exception>
    /// <exception cref="KvException">It was refused, or nobody knows whether it was stored.</exception>
    public ValueTask SetAsync(string key, byte[] value, string[]? tags, TimeSpan validFor, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(value);
        return SetAsync(key, new ReadOnlySequence<byte>(value), tags, validFor, cancellationToken);
    }

    /// <inheritdoc cref="SetAsync(string, byte[], string[], TimeSpan, CancellationToken)"/>
    public async ValueTask SetAsync(string key, ReadOnlySequence<byte> value, ReadOnlyMemory<string> tags, TimeSpan validFor, CancellationToken cancellationToken)
    {
        if (validFor < TimeSpan.FromMilliseconds(1))
        {
            return;
        }

        TimeSpan life = validFor < LongestLife ? validFor : LongestLife;
        TagStamp[] stamps = await Task.WhenAll(tags.ToArray().Distinct().Select(tag => StampAsync(tag, life, cancellationToken))).ConfigureAwait(false);
        await _keyspace.PutAsync(PageKey(key), StoredPage.Encode(stamps, value), _write with { Ttl = life }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Evicts the pages that have a tag.</summary>
    /// <exception cref="KvException">It was refused, or nobody knows whether it was done.</exception>
    public async ValueTask EvictByTagAsync(string tag, CancellationToken cancellationToken) =>
        await _keyspace.DeleteAsync(TagKey(tag), _write, cancellationToken).ConfigureAwait(false);

    private static KvKey TagKey(string tag)
    {
        ArgumentException.ThrowIfNullOrEmpty(tag);
        return TagPrefix + tag;
    }

    private static KvKey PageKey(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        return Encoding.UTF8.GetByteCount(key) <= MaxPlainKeyBytes ? PagePrefix + key : HashedPagePrefix + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
    }

    private async ValueTask<ReadOnlyMemory<byte>?> FindAsync(string key, CancellationToken cancellationToken)
    {
        KvEntry<ReadOnlyMemory<byte>>? stored = await _keyspace.GetAsync<ReadOnlyMemory<byte>>(PageKey(key), _read, cancellationToken).ConfigureAwait(false);
        if (stored is null)
        {
            return null;
        }

        (IReadOnlyList<TagStamp> tags, ReadOnlyMemory<byte> page) = StoredPage.Decode(stored.Value);
        bool[] standing = await Task.WhenAll(tags.Select(tag => StandsAsync(tag, cancellationToken))).ConfigureAwait(false);

        // Not "page : null": that null would be an empty page.
        return standing.All(stands => stands) ? page : default(ReadOnlyMemory<byte>?);
    }

    /// <summary>Concurrent stamps of a tag, made on two sides of a cut, all count: a delete takes away those that it has seen.</summary>
    private async Task<bool> StandsAsync(TagStamp tag, CancellationToken cancellationToken)
    {
        KvEntry<ReadOnlyMemory<byte>>? current = await _keyspace.GetAsync<ReadOnlyMemory<byte>>(TagKey(tag.Tag), _read, cancellationToken).ConfigureAwait(false);
        return current is not null && (Is(current.Value, tag.Stamp) || current.Siblings.Any(sibling => Is(sibling.Value, tag.Stamp)));
    }

    private async Task<TagStamp> StampAsync(string tag, TimeSpan life, CancellationToken cancellationToken)
    {
        if (await CurrentAsync(tag, life, cancellationToken).ConfigureAwait(false) is { } current)
        {
            return current;
        }

        await _stamping.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (await CurrentAsync(tag, life, cancellationToken).ConfigureAwait(false) is { } made)
            {
                return made;
            }

            var stamp = new TagStamp(tag, Guid.NewGuid());
            TimeSpan wanted = life > LongestLife / StampLifetimes ? LongestLife : life * StampLifetimes;
            TimeSpan ttl = wanted > LeastStampLife ? wanted : LeastStampLife;
            await _keyspace.PutAsync(TagKey(tag), stamp.Stamp.ToByteArray(), _write with { Ttl = ttl }, cancellationToken).ConfigureAwait(false);
            return stamp;
        }
        finally
        {
            _stamping.Release();
        }
    }

    /// <summary>The stamp that a tag has, if it lives as long as the page will.</summary>
    private async Task<TagStamp?> CurrentAsync(string tag, TimeSpan life, CancellationToken cancellationToken)
    {
        KvEntry<ReadOnlyMemory<byte>>? entry = await _keyspace.GetAsync<ReadOnlyMemory<byte>>(TagKey(tag), _read, cancellationToken).ConfigureAwait(false);
        bool lasts = entry is { Value.Length: TagStamp.StampBytes } && (entry.ExpiresIn is not { } left || left >= life || life > LongestLife / StampLifetimes);
        return lasts ? new TagStamp(tag, new Guid(entry!.Value.Span)) : null;
    }

    private static bool Is(ReadOnlyMemory<byte> stored, Guid stamp) => stored.Length == TagStamp.StampBytes && new Guid(stored.Span) == stamp;
}

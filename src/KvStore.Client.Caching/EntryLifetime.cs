using KvStore.Contracts;
using Microsoft.Extensions.Caching.Distributed;

namespace KvStore.Client.Caching;

/// <summary>How long a value lives, as its setter wants it.</summary>
/// <param name="Ttl">From now on if nobody reads it. Null: the setter said nothing, and the keyspace's default holds.</param>
/// <param name="Window">The sliding window; null: none.</param>
/// <param name="End">When a sliding value ends whatever is read; null: never.</param>
internal readonly record struct EntryLifetime(TimeSpan? Ttl, TimeSpan? Window, DateTimeOffset? End)
{
    /// <summary>The shortest time to live that the store knows.</summary>
    public static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(1);

    private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(KvLimits.MaxTtlMs);

    /// <exception cref="ArgumentOutOfRangeException">The absolute expiration has passed.</exception>
    public static EntryLifetime Of(DistributedCacheEntryOptions options, DateTimeOffset now)
    {
        TimeSpan? untilEnd = options.AbsoluteExpirationRelativeToNow ?? (options.AbsoluteExpiration - now);
        if (untilEnd <= TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.AbsoluteExpiration, "The absolute expiration must be in the future.");
        }

        TimeSpan? window = options.SlidingExpiration is { } sliding ? Within(sliding) : null;
        if (untilEnd is not { } left)
        {
            return new EntryLifetime(window, window, null);
        }

        if (left > Longest)
        {
            // DateTimeOffset.MaxValue and its like mean "for ever".
            return new EntryLifetime(window ?? Timeout.InfiniteTimeSpan, window, null);
        }

        TimeSpan end = Within(left);
        return window is { } slides ? new EntryLifetime(slides < end ? slides : end, slides, now + end) : new EntryLifetime(end, null, null);
    }

    private static TimeSpan Within(TimeSpan wanted) => wanted < Shortest ? Shortest : wanted > Longest ? Longest : wanted;
}

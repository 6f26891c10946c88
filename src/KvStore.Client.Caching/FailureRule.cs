using Microsoft.Extensions.Logging;

namespace KvStore.Client.Caching;

/// <summary>Which failures a caller sees. Says in the log when the store begins to fail and when it answers again, not for every operation between.</summary>
internal sealed class FailureRule(KvCacheFailure whenUnavailable, string keyspace, ILogger log)
{
    private int _isFailing;

    /// <summary>Whether this failure is to count as a miss, or the write as dropped.</summary>
    public bool Forgives(KvException failure)
    {
        if (whenUnavailable != KvCacheFailure.Miss || IsMisuse(failure.Code))
        {
            return false;
        }

        if (Interlocked.Exchange(ref _isFailing, 1) == 0)
        {
            log.CacheUnavailable(keyspace, failure.Message);
        }

        return true;
    }

    /// <summary>The store has answered.</summary>
    public void Answered()
    {
        if (Volatile.Read(ref _isFailing) != 0 && Interlocked.Exchange(ref _isFailing, 0) != 0)
        {
            log.CacheAvailable(keyspace);
        }
    }

    /// <summary>Waiting does not help against these: a setting or a call is wrong.</summary>
    private static bool IsMisuse(KvCode code) => code is KvCode.UnknownKeyspace or KvCode.LevelNotOffered or KvCode.InvalidArgument or KvCode.TooLarge or KvCode.WrongType or KvCode.Unsupported or KvCode.RequestReused;
}

/// <summary>What a cache logs. Keys and values never.</summary>
internal static partial class CacheLog
{
    [LoggerMessage(EventId = 6_001, Level = LogLevel.Warning, Message = "The cache in keyspace {Keyspace} can't be reached: reads count as misses, writes are dropped. {Reason}")]
    public static partial void CacheUnavailable(this ILogger log, string keyspace, string reason);

    [LoggerMessage(EventId = 6_002, Level = LogLevel.Information, Message = "The cache in keyspace {Keyspace} answers again.")]
    public static partial void CacheAvailable(this ILogger log, string keyspace);

    [LoggerMessage(EventId = 6_003, Level = LogLevel.Debug, Message = "A value in keyspace {Keyspace} was read and could not be renewed; it keeps the time that it has. {Reason}")]
    public static partial void NotRenewed(this ILogger log, string keyspace, string reason);
}

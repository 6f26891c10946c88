using KvStore.Contracts;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KvStore.Client.Caching;

/// <summary>Settings of a <see cref="KvDistributedCache"/>. Validated when the host starts.</summary>
public sealed class KvCacheOptions
{
    /// <summary>The keyspace, which nothing else should use. It must exist. Best is an ap keyspace with durability memory; don't make it last-writer-wins if values have a sliding expiration.</summary>
    public string Keyspace { get; set; } = "cache";

    /// <summary>The name of a client of AddKeyedKvStore; null: the one of AddKvStore.</summary>
    public string? ClientName { get; set; }

    /// <summary>Put before every key, so that several caches may share a keyspace. At most 1,024 characters.</summary>
    public string KeyPrefix { get; set; } = "";

    /// <summary>Deadline of each operation over all its attempts: 10 ms to 10 minutes. A cache that is slower than what it spares is none.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How fresh reads must be: the keyspace's default, linearizable (cp, adaptive), eventual, or quorum (ap).</summary>
    public KvReadLevel ReadLevel { get; set; } = KvReadLevel.Default;

    /// <summary>What callers get when the store can't answer.</summary>
    public KvCacheFailure WhenUnavailable { get; set; } = KvCacheFailure.Throw;

    /// <summary>
    /// Which part of a sliding window has to have passed before an access renews it, 0 to 0.9. A renewal is a write of the whole value. With the default of 0.1 a key is written at most ten times in a window, however often it
    /// is read, and a value that nobody reads any more is gone after 0.9 to 1 of its window, never later. 0: every access writes.
    /// </summary>
    public double RenewAfter { get; set; } = 0.1;
}

/// <summary>What becomes of a cache's operation when the store can't answer in time or refuses for the moment. Misuse throws in either case: an unknown keyspace, a level that is not offered, a value that is too large.</summary>
public enum KvCacheFailure
{
    /// <summary>A <see cref="KvException"/>, as users of other distributed caches expect. Sessions, output caching and HybridCache catch and log it by themselves, and go on without the cache.</summary>
    Throw = 0,

    /// <summary>Reads miss; sets and refreshes are dropped, and the log says so once. A removal throws all the same: what was meant to be gone must not be found again unnoticed.</summary>
    Miss = 1,
}

/// <summary>Says what is wrong with <see cref="KvCacheOptions"/>, all of it at once.</summary>
internal sealed class KvCacheOptionsValidator(IServiceProviderIsService? services = null) : IValidateOptions<KvCacheOptions>
{
    private const int MaxPrefixLength = 1_024;

    public ValidateOptionsResult Validate(string? name, KvCacheOptions options)
    {
        List<string> errors = [.. Errors(options)];
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private IEnumerable<string> Errors(KvCacheOptions options)
    {
        if (options.Keyspace is not { Length: >= 1 and <= KvLimits.MaxKeyspaceNameLength })
        {
            yield return "Keyspace must name a keyspace, with 1 to 64 characters.";
        }

        if (options.KeyPrefix is not { Length: <= MaxPrefixLength })
        {
            yield return "KeyPrefix must have at most 1,024 characters.";
        }

        if (options.Timeout < TimeSpan.FromMilliseconds(10) || options.Timeout.TotalMilliseconds > KvLimits.MaxTimeoutMs)
        {
            yield return "Timeout must be 10 ms to 10 minutes.";
        }

        if (options.ReadLevel is not (KvReadLevel.Default or KvReadLevel.Linearizable or KvReadLevel.Eventual or KvReadLevel.Quorum))
        {
            yield return "ReadLevel must be Default, Linearizable, Eventual or Quorum.";
        }

        if (!Enum.IsDefined(options.WhenUnavailable))
        {
            yield return "WhenUnavailable must be Throw or Miss.";
        }

        if (options.RenewAfter is not (>= 0 and <= 0.9))
        {
            yield return "RenewAfter must be 0 to 0.9.";
        }

        if (options.ClientName is null && services?.IsService(typeof(IKvClient)) == false)
        {
            yield return "No client is registered: call services.AddKvStore(...), or name one of AddKeyedKvStore in ClientName.";
        }

        if (options.ClientName is not null && services is IServiceProviderIsKeyedService keyed && !keyed.IsKeyedService(typeof(IKvClient), options.ClientName))
        {
            yield return $"No client is registered under the name \"{options.ClientName}\": call services.AddKeyedKvStore(\"{options.ClientName}\", ...).";
        }
    }
}

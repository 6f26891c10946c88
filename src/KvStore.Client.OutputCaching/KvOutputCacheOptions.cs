using KvStore.Contracts;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KvStore.Client.OutputCaching;

/// <summary>Settings of a <see cref="KvOutputCacheStore"/>. Validated when the host starts.</summary>
public sealed class KvOutputCacheOptions
{
    /// <summary>The keyspace, which nothing else should use. It must exist. Best is an ap keyspace with durability memory.</summary>
    public string Keyspace { get; set; } = "output-cache";

    /// <summary>The name of a client of AddKeyedKvStore; null: the one of AddKvStore.</summary>
    public string? ClientName { get; set; }

    /// <summary>Deadline of each operation over all its attempts: 10 ms to 10 minutes. When it passes, the page is rendered without the cache.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How fresh reads must be: the keyspace's default, linearizable (cp, adaptive), eventual, or quorum (ap).</summary>
    public KvReadLevel ReadLevel { get; set; } = KvReadLevel.Default;
}

/// <summary>Says what is wrong with <see cref="KvOutputCacheOptions"/>, all of it at once.</summary>
internal sealed class KvOutputCacheOptionsValidator(IServiceProviderIsService? services = null) : IValidateOptions<KvOutputCacheOptions>
{
    public ValidateOptionsResult Validate(string? name, KvOutputCacheOptions options)
    {
        List<string> errors = [.. Errors(options)];
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private IEnumerable<string> Errors(KvOutputCacheOptions options)
    {
        if (options.Keyspace is not { Length: >= 1 and <= KvLimits.MaxKeyspaceNameLength })
        {
            yield return "Keyspace must name a keyspace, with 1 to 64 characters.";
        }

        if (options.Timeout < TimeSpan.FromMilliseconds(10) || options.Timeout.TotalMilliseconds > KvLimits.MaxTimeoutMs)
        {
            yield return "Timeout must be 10 ms to 10 minutes.";
        }

        if (options.ReadLevel is not (KvReadLevel.Default or KvReadLevel.Linearizable or KvReadLevel.Eventual or KvReadLevel.Quorum))
        {
            yield return "ReadLevel must be Default, Linearizable, Eventual or Quorum.";
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

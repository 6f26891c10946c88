using KvStore.Client;
using KvStore.Client.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers a keyspace as distributed cache with a host.</summary>
public static class KvStoreCacheServiceCollectionExtensions
{
    /// <summary>Adds the <see cref="IDistributedCache"/> of the host, over a client of AddKvStore. Its options are validated when the host starts.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="configure">The settings; null: the defaults, over the keyspace "cache".</param>
    /// <example><code>
    /// builder.Services.AddKvStore(o => o.Endpoints.Add("http://localhost:7001"));
    /// builder.Services.AddKvStoreCache(o => o.Keyspace = "cache");
    /// builder.Services.AddHybridCache();
    /// </code></example>
    public static IServiceCollection AddKvStoreCache(this IServiceCollection services, Action<KvCacheOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddOptions(Options.Options.DefaultName, configure);
        services.AddSingleton<IDistributedCache>(provider => CreateCache(provider, Options.Options.DefaultName));
        return services;
    }

    /// <summary>Adds a distributed cache under a name, for hosts with several: ask for it with [FromKeyedServices(name)], or name it in HybridCacheOptions.DistributedCacheServiceKey.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="name">The key of the service, and the name of its options. Which client it uses is said by <see cref="KvCacheOptions.ClientName"/>.</param>
    /// <param name="configure">The settings; null: the defaults.</param>
    public static IServiceCollection AddKeyedKvStoreCache(this IServiceCollection services, string name, Action<KvCacheOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(name);
        services.AddOptions(name, configure);
        services.AddKeyedSingleton<IDistributedCache>(name, (provider, _) => CreateCache(provider, name));
        return services;
    }

    private static void AddOptions(this IServiceCollection services, string name, Action<KvCacheOptions>? configure)
    {
        OptionsBuilder<KvCacheOptions> options = services.AddOptions<KvCacheOptions>(name);
        if (configure is not null)
        {
            options.Configure(configure);
        }

        options.ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<KvCacheOptions>, KvCacheOptionsValidator>());
    }

    private static KvDistributedCache CreateCache(IServiceProvider provider, string name)
    {
        KvCacheOptions options = provider.GetRequiredService<IOptionsMonitor<KvCacheOptions>>().Get(name);
        IKvClient client = options.ClientName is { } clientName ? provider.GetRequiredKeyedService<IKvClient>(clientName) : provider.GetRequiredService<IKvClient>();
        return new KvDistributedCache(client, options, provider.GetService<ILoggerFactory>(), provider.GetService<TimeProvider>());
    }
}

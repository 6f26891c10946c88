using KvStore.Client;
using KvStore.Client.OutputCaching;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers a keyspace as output cache with a web host.</summary>
public static class KvStoreOutputCacheServiceCollectionExtensions
{
    /// <summary>Adds output caching with its pages in a keyspace, over a client of AddKvStore. Policies are set with AddOutputCache as always, before or after this. Its options are validated when the host starts.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="configure">The settings; null: the defaults, over the keyspace "output-cache".</param>
    /// <example><code>
    /// builder.Services.AddKvStore(o => o.Endpoints.Add("http://localhost:7001"));
    /// builder.Services.AddKvStoreOutputCache();
    /// app.UseOutputCache();
    /// </code></example>
    public static IServiceCollection AddKvStoreOutputCache(this IServiceCollection services, Action<KvOutputCacheOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddOutputCache();
        OptionsBuilder<KvOutputCacheOptions> options = services.AddOptions<KvOutputCacheOptions>();
        if (configure is not null)
        {
            options.Configure(configure);
        }

        options.ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<KvOutputCacheOptions>, KvOutputCacheOptionsValidator>());
        services.RemoveAll<IOutputCacheStore>();
        services.AddSingleton<IOutputCacheStore>(CreateStore);
        return services;
    }

    private static KvOutputCacheStore CreateStore(IServiceProvider provider)
    {
        KvOutputCacheOptions options = provider.GetRequiredService<IOptions<KvOutputCacheOptions>>().Value;
        return new KvOutputCacheStore(options.ClientName is { } name ? provider.GetRequiredKeyedService<IKvClient>(name) : provider.GetRequiredService<IKvClient>(), options);
    }
}

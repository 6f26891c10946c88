using KvStore.Client;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers the client with a host.</summary>
public static class KvStoreServiceCollectionExtensions
{
    /// <summary>Adds one <see cref="IKvClient"/> as a singleton. Its options are validated when the host starts.</summary>
    /// <example><code>builder.Services.AddKvStore(o => o.Endpoints.Add("http://localhost:7001"));</code></example>
    public static IServiceCollection AddKvStore(this IServiceCollection services, Action<KvClientOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddOptions<KvClientOptions>().Configure(configure).ValidateOnStart();
        services.AddSingleton<IValidateOptions<KvClientOptions>, KvClientOptionsValidator>();
        services.AddSingleton<IKvClient>(provider => KvClient.Create(
            provider.GetRequiredService<IOptions<KvClientOptions>>().Value,
            provider.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance));
        return services;
    }
}

using KvStore.Client;
using KvStore.Client.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Diagnostics.HealthChecks;
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
        services.AddOptions(Options.Options.DefaultName, configure);
        services.AddSingleton(provider => CreateClient(provider, Options.Options.DefaultName));
        return services;
    }

    /// <summary>Adds one <see cref="IKvClient"/> for the connection string of a name: "http://a:7001,http://b:7001", and if wanted ";timeout=5s;attemptTimeout=1s;connectTimeout=500ms".</summary>
    /// <param name="services">The host's services, with an <see cref="IConfiguration"/>.</param>
    /// <param name="connectionName">Which of ConnectionStrings.</param>
    /// <example><code>builder.Services.AddKvStore();     // "ConnectionStrings": { "kv": "http://localhost:7001" }</code></example>
    public static IServiceCollection AddKvStore(this IServiceCollection services, string connectionName = "kv")
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(connectionName);
        services.AddOptions<KvClientOptions>().Configure<IConfiguration>((options, configuration) => KvConnectionString.Apply(
            configuration.GetConnectionString(connectionName)
                ?? throw new OptionsValidationException(nameof(KvClientOptions), typeof(KvClientOptions), [$"There is no connection string \"{connectionName}\": set ConnectionStrings:{connectionName} to \"http://host:port\"."]),
            options));
        services.AddOptions(Options.Options.DefaultName, configure: null);
        services.AddSingleton(provider => CreateClient(provider, Options.Options.DefaultName));
        return services;
    }

    /// <summary>Adds an <see cref="IKvClient"/> under a name, for applications with several clusters: ask for it with [FromKeyedServices(name)].</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="name">The key of the service, and the name of its options.</param>
    /// <param name="configure">The client's settings; validated when the host starts.</param>
    public static IServiceCollection AddKeyedKvStore(this IServiceCollection services, string name, Action<KvClientOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddOptions(name, configure);
        services.AddKeyedSingleton(name, (provider, _) => CreateClient(provider, name));
        return services;
    }

    /// <summary>Adds a health check that asks every node of the cluster: degraded where some are silent, unhealthy where all are.</summary>
    /// <param name="checks">The host's health checks.</param>
    /// <param name="clientName">The name of a client of AddKeyedKvStore; null: the one of AddKvStore.</param>
    /// <param name="name">The name of the check.</param>
    public static IHealthChecksBuilder AddKvStore(this IHealthChecksBuilder checks, string? clientName = null, string name = "kvstore")
    {
        ArgumentNullException.ThrowIfNull(checks);
        return checks.Add(new HealthCheckRegistration(
            name,
            provider => new KvHealthCheck(clientName is null ? provider.GetRequiredService<IKvClient>() : provider.GetRequiredKeyedService<IKvClient>(clientName)),
            failureStatus: null,
            tags: null));
    }

    private static void AddOptions(this IServiceCollection services, string name, Action<KvClientOptions>? configure)
    {
        OptionsBuilder<KvClientOptions> options = services.AddOptions<KvClientOptions>(name);
        if (configure is not null)
        {
            options.Configure(configure);
        }

        options.ValidateOnStart();
        services.AddSingleton<IValidateOptions<KvClientOptions>, KvClientOptionsValidator>();
    }

    private static IKvClient CreateClient(IServiceProvider provider, string name) => KvClient.Create(
        provider.GetRequiredService<IOptionsMonitor<KvClientOptions>>().Get(name),
        provider.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance);
}

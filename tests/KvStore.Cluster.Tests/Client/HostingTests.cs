using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

/// <summary>The client in a host: registration, names, connection strings, health.</summary>
[Collection(ClusterCollection.Name)]
public sealed class HostingTests
{
    [Fact]
    public async Task A_host_gets_its_clients_by_connection_string_and_by_name_and_hears_when_nodes_are_silent()
    {
        await using KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { InMemory = true }, TestContext.Current.CancellationToken);
        await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync, cancellationToken: TestContext.Current.CancellationToken);
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder()
            .AddInMemoryCollection([KeyValuePair.Create<string, string?>("ConnectionStrings:kv", $"{string.Join(',', cluster.Endpoints)};timeout=20s;attemptTimeout=1s")]).Build());
        services.AddKvStore();
        services.AddKeyedKvStore("other", options => options.Endpoints.Add(cluster.Endpoints.First()));
        services.AddHealthChecks().AddKvStore().AddKvStore("other", "kvstore-other");
        await using ServiceProvider provider = services.BuildServiceProvider();

        IKvClient client = provider.GetRequiredService<IKvClient>();
        IKvClient other = provider.GetRequiredKeyedService<IKvClient>("other");
        other.Should().NotBeSameAs(client);
        await client.Keyspace("orders").PutAsync("k", "v", cancellationToken: TestContext.Current.CancellationToken);
        (await other.Keyspace("orders").GetAsync<string>("k", cancellationToken: TestContext.Current.CancellationToken))!.Value.Should().Be("v");
        provider.GetRequiredService<IOptions<KvClientOptions>>().Value.DefaultTimeout.Should().Be(TimeSpan.FromSeconds(20));

        HealthCheckService health = provider.GetRequiredService<HealthCheckService>();
        (await health.CheckHealthAsync(TestContext.Current.CancellationToken)).Status.Should().Be(HealthStatus.Healthy);
        await cluster.KillAsync(3);
        (await health.CheckHealthAsync(TestContext.Current.CancellationToken)).Status.Should().Be(HealthStatus.Degraded);
        await cluster.KillAsync(1);
        await cluster.KillAsync(2);
        (await health.CheckHealthAsync(TestContext.Current.CancellationToken)).Status.Should().Be(HealthStatus.Unhealthy);
    }

    [Theory]
    [InlineData("", "*Endpoints*")]
    [InlineData("ftp://a:1", "*ftp*")]
    [InlineData("http://a:1;timeout=0s", "*DefaultTimeout*")]
    public void A_connection_string_that_can_not_work_is_refused_when_the_options_are_first_read(string text, string complaint)
    {
        using ServiceProvider provider = ProviderOf(text);
        Action read = () => _ = provider.GetRequiredService<IOptions<KvClientOptions>>().Value;
        read.Should().Throw<OptionsValidationException>().WithMessage(complaint);
    }

    [Theory]
    [InlineData("http://a:1;timeout=5", "*duration*")]
    [InlineData("http://a:1;retries=5", "*unknown setting 'retries'*")]
    public void A_connection_string_with_a_setting_that_is_none_says_which(string text, string complaint)
    {
        using ServiceProvider provider = ProviderOf(text);
        Action read = () => _ = provider.GetRequiredService<IOptions<KvClientOptions>>().Value;
        read.Should().Throw<FormatException>().WithMessage(complaint);
    }

    private static ServiceProvider ProviderOf(string connectionString)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection([KeyValuePair.Create<string, string?>("ConnectionStrings:shop", connectionString)]).Build());
        services.AddKvStore("shop");
        return services.BuildServiceProvider();
    }
}

using System.Net;
using FluentAssertions;
using KvStore.Client;
using KvStore.Client.Caching;
using KvStore.Cluster.Tests.Caching;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace KvStore.Cluster.Tests.Docs;

/// <summary>The examples of the section on caches of docs/client.md. Who changes one changes the page too.</summary>
[Collection(ClusterCollection.Name)]
public sealed class CacheExamples(ThreeNodes nodes) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync()
    {
        await nodes.HealAsync();
        foreach (string name in (string[])["cache", "output-cache"])
        {
            await _cluster.Client.Admin.CreateKeyspaceAsync(
                new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Replication = Replication.BestEffort, Durability = Durability.Memory, MemoryBytes = 256 << 20 });
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task The_second_level_of_HybridCache()
    {
        var services = new ServiceCollection();
        services.AddKvStore(options => options.Endpoints.Add(_cluster.Endpoints.First()));
        services.AddKvStoreCache(options => options.Keyspace = "cache");
        services.AddHybridCache(options => options.MaximumPayloadBytes = 1_000_000);
        await using ServiceProvider provider = services.BuildServiceProvider();
        HybridCache cache = provider.GetRequiredService<HybridCache>();

        string user = await cache.GetOrCreateAsync("user/17", async cancellation => await LoadUserAsync(17, cancellation));

        user.Should().Be("user 17");
    }

    [Fact]
    public async Task A_named_cache_with_sliding_values()
    {
        var services = new ServiceCollection();
        services.AddKeyedKvStore("eu", options => options.Endpoints.Add(_cluster.Endpoints.First()));
        services.AddKeyedKvStoreCache("sessions", options =>
        {
            options.Keyspace = "cache";
            options.ClientName = "eu";
            options.KeyPrefix = "sessions/";
            options.WhenUnavailable = KvCacheFailure.Miss;
        });
        await using ServiceProvider provider = services.BuildServiceProvider();

        IDistributedCache sessions = provider.GetRequiredKeyedService<IDistributedCache>("sessions");
        await sessions.SetStringAsync("17", "alice", new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromMinutes(20) });

        (await sessions.GetStringAsync("17")).Should().Be("alice");
    }

    [Fact]
    public async Task Output_caching()
    {
        await using WebHost host = await WebHost.StartAsync(
            services =>
            {
                services.AddKvStore(options => options.Endpoints.Add(_cluster.Endpoints.First()));
                services.AddKvStoreOutputCache(options => options.Keyspace = "output-cache");
            },
            app =>
            {
                app.UseOutputCache();
                app.MapGet("/products", () => "tea, milk").CacheOutput(policy => policy.Tag("products").Expire(TimeSpan.FromMinutes(5)));
                app.MapPost("/products", async (IOutputCacheStore pages, CancellationToken aborted) => await pages.EvictByTagAsync("products", aborted));
            });
        using HttpClient browser = host.Browser(new CookieContainer());

        (await browser.GetStringAsync("/products")).Should().Be("tea, milk");
        (await browser.PostAsync("/products", null)).EnsureSuccessStatusCode();
        (await browser.GetStringAsync("/products")).Should().Be("tea, milk");
    }

    [Fact]
    public async Task A_client_beside_a_node()
    {
        var services = new ServiceCollection();
        services.AddKvStore(options => _cluster.PlaceBeside(1, options)); // reaches what node 1 reaches
        await using ServiceProvider provider = services.BuildServiceProvider();
        IKvClient client = provider.GetRequiredService<IKvClient>();
        string orders = nodes.NewName("orders");
        await _cluster.CreateKeyspaceAsync(orders, PartitionPolicy.Cp, Replication.Sync);
        await client.Keyspace(orders).PutAsync("order/17", "paid");

        await _cluster.IsolateAsync(1);
        Func<Task> put = async () => await client.Keyspace(orders).PutAsync("order/18", "open");
        await put.Should().ThrowAsync<KvException>();
        await _cluster.Client.Keyspace(orders).PutAsync("order/18", "open");

        await nodes.HealAsync();
        (await client.Keyspace(orders).GetAsync<string>("order/18"))!.Value.Should().Be("open");
    }

    private static ValueTask<string> LoadUserAsync(int id, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        return ValueTask.FromResult($"user {id}");
    }
}

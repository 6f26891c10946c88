using System.Net;
using FluentAssertions;
using KvStore.Client;
using KvStore.Client.Caching;
using KvStore.Cluster.Tests.Clusters;
using KvStore.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Xunit;

namespace KvStore.Cluster.Tests.Caching;

/// <summary>The caches under what they are for: ASP.NET Core's sessions and output caching, and HybridCache; each with two instances of an application.</summary>
[Collection(ClusterCollection.Name)]
public sealed class CacheInHostsTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(Under.Memory)]
    [InlineData(Under.Ap)]
    [InlineData(Under.Cp)]
    public async Task A_session_goes_with_its_cookie_from_instance_to_instance(Under under)
    {
        string keyspace = await nodes.CreateAsync(under);
        await using WebHost first = await SessionHostAsync(keyspace, 1);
        await using WebHost second = await SessionHostAsync(keyspace, 2);
        var cookies = new CookieContainer();
        using HttpClient here = first.Browser(cookies);
        using HttpClient there = second.Browser(cookies);

        (await here.GetStringAsync("/count")).Should().Be("1");
        await SettleAsync(keyspace, under);
        (await there.GetStringAsync("/count")).Should().Be("2");
        await SettleAsync(keyspace, under);
        (await here.GetStringAsync("/count")).Should().Be("3");
        using HttpClient stranger = second.Browser(new CookieContainer());
        (await stranger.GetStringAsync("/count")).Should().Be("1");
        await SettleAsync(keyspace, under);
        (await there.GetStringAsync("/clear")).Should().Be("cleared");
        await SettleAsync(keyspace, under);
        (await here.GetStringAsync("/count")).Should().Be("1");
    }

    [Fact]
    public async Task A_session_goes_on_on_both_sides_of_a_cut()
    {
        string keyspace = await nodes.CreateAsync(Under.Memory);
        await using WebHost first = await SessionHostAsync(keyspace, 1);
        await using WebHost second = await SessionHostAsync(keyspace, 2);
        var cookies = new CookieContainer();
        using HttpClient here = first.Browser(cookies);
        using HttpClient there = second.Browser(cookies);
        (await here.GetStringAsync("/count")).Should().Be("1");
        await _cluster.WaitUntilAsync("every replica has it", async () => (await _cluster.DumpAsync(keyspace)).All(dump => dump.Keys.Count > 0));

        await _cluster.IsolateAsync(1);
        (await here.GetStringAsync("/count")).Should().Be("2");
        (await there.GetStringAsync("/count")).Should().Be("2");
        await nodes.HealAsync();
        await _cluster.WaitUntilConvergedAsync(keyspace);
        (await here.GetStringAsync("/count")).Should().Be("3", "one of the two counts, and both instances find the same");
    }

    [Theory]
    [InlineData(Under.Memory)]
    [InlineData(Under.Ap)]
    [InlineData(Under.Cp)]
    public async Task Pages_are_cached_for_all_instances_and_evicted_by_their_tags(Under under)
    {
        string keyspace = await nodes.CreateAsync(under);
        int rendered = 0;
        await using WebHost first = await PageHostAsync(keyspace, 1, () => Interlocked.Increment(ref rendered));
        await using WebHost second = await PageHostAsync(keyspace, 2, () => Interlocked.Increment(ref rendered));
        using HttpClient here = first.Browser(new CookieContainer());
        using HttpClient there = second.Browser(new CookieContainer());

        (await here.GetStringAsync("/products")).Should().Be("products 1");
        await SettleAsync(keyspace, under);
        (await there.GetStringAsync("/products")).Should().Be("products 1");
        (await here.GetStringAsync("/about")).Should().Be("about 2");

        await second.Services.GetRequiredService<IOutputCacheStore>().EvictByTagAsync("products", TestContext.Current.CancellationToken);
        await SettleAsync(keyspace, under);
        (await here.GetStringAsync("/products")).Should().Be("products 3");
        await SettleAsync(keyspace, under);
        (await there.GetStringAsync("/products")).Should().Be("products 3");
        (await here.GetStringAsync("/about")).Should().Be("about 2", "it has another tag");

        string longUrl = $"/products?q={new string('x', 5_000)}";
        string longPage = await here.GetStringAsync(longUrl);
        await SettleAsync(keyspace, under);
        (await there.GetStringAsync(longUrl)).Should().Be(longPage).And.Be("products 4");
    }

    [Fact]
    public async Task A_page_that_is_too_large_or_whose_store_is_away_is_served_all_the_same()
    {
        string keyspace = await nodes.CreateAsync(Under.Cp);
        int rendered = 0;
        await using WebHost host = await PageHostAsync(keyspace, 1, () => Interlocked.Increment(ref rendered));
        using HttpClient browser = host.Browser(new CookieContainer());
        (await browser.GetStringAsync("/large")).Should().HaveLength(2 << 20);
        (await browser.GetStringAsync("/large")).Should().HaveLength(2 << 20);
        rendered.Should().Be(2, "it was not cached");

        await _cluster.IsolateAsync(1);
        (await browser.GetStringAsync("/about")).Should().Be("about 3");
        (await browser.GetStringAsync("/about")).Should().Be("about 4");
        await nodes.HealAsync();
    }

    [Theory]
    [InlineData(Under.Memory)]
    [InlineData(Under.Ap)]
    [InlineData(Under.Cp)]
    public async Task HybridCache_has_its_second_level_here(Under under)
    {
        string keyspace = await nodes.CreateAsync(under);
        await using ServiceProvider first = Hybrid(keyspace, 1);
        await using ServiceProvider second = Hybrid(keyspace, 2);
        HybridCache here = first.GetRequiredService<HybridCache>();
        HybridCache there = second.GetRequiredService<HybridCache>();

        (await here.GetOrCreateAsync("user/1", _ => ValueTask.FromResult("made here"), tags: ["users"])).Should().Be("made here");
        IKvKeyspace raw = _cluster.Client.Keyspace(keyspace);
        await _cluster.WaitUntilAsync("it is on the second level", async () => await raw.GetAsync<byte[]>("user/1") is not null);
        await SettleAsync(keyspace, under);
        (await there.GetOrCreateAsync("user/1", _ => ValueTask.FromResult("made there"), tags: ["users"])).Should().Be("made here");

        await here.RemoveAsync("user/1");
        await SettleAsync(keyspace, under);
        await using ServiceProvider third = Hybrid(keyspace, 3);
        (await third.GetRequiredService<HybridCache>().GetOrCreateAsync("user/1", _ => ValueTask.FromResult("made anew"), tags: ["users"])).Should().Be("made anew");

        await here.RemoveByTagAsync("users");
        await SettleAsync(keyspace, under);
        await using ServiceProvider fourth = Hybrid(keyspace, 1);
        (await fourth.GetRequiredService<HybridCache>().GetOrCreateAsync("user/1", _ => ValueTask.FromResult("made after the tag was evicted"), tags: ["users"])).Should().Be("made after the tag was evicted");
    }

    [Fact]
    public async Task HybridCache_goes_on_without_its_second_level()
    {
        string keyspace = await nodes.CreateAsync(Under.Cp);
        await using ServiceProvider provider = Hybrid(keyspace, 1);
        await _cluster.IsolateAsync(1);
        HybridCache cache = provider.GetRequiredService<HybridCache>();
        int made = 0;
        ValueTask<int> GetAsync() => cache.GetOrCreateAsync("k", _ => ValueTask.FromResult(++made));
        (await GetAsync()).Should().Be(1);

        // HybridCache asks the second level what was invalidated, and until it has failed to get an answer takes all that was made as invalid: how often the value is made until then is a question of speed.
        await _cluster.WaitUntilAsync("the first level has it", async () => made is var before && await GetAsync() == before && made == before);
        await nodes.HealAsync();
    }

    [Fact]
    public async Task Caches_use_the_clients_that_they_name_and_a_host_that_can_not_work_does_not_start()
    {
        string keyspace = await nodes.CreateAsync(Under.Memory);
        var services = new ServiceCollection();
        services.AddKeyedKvStore("other", options => options.Endpoints.Add(_cluster.Endpoints.First()));
        services.AddKeyedKvStoreCache("pages", options => (options.Keyspace, options.ClientName) = (keyspace, "other"));
        services.AddHybridCache(options => options.DistributedCacheServiceKey = "pages");
        await using ServiceProvider provider = services.BuildServiceProvider();
        IDistributedCache cache = provider.GetRequiredKeyedService<IDistributedCache>("pages");
        await cache.SetStringAsync("k", "v");
        (await cache.GetStringAsync("k")).Should().Be("v");
        provider.GetService<IDistributedCache>().Should().BeNull("only the named one was added");
        await provider.GetRequiredService<HybridCache>().SetAsync("h", "v");
        (await cache.GetAsync("h")).Should().NotBeNull();

        Problems(_ => { }).Should().Contain("No client is registered: call services.AddKvStore");
        Problems(options => options.ClientName = "third").Should().Contain("under the name \"third\"");
        Problems(options => (options.RenewAfter, options.Timeout, options.KeyPrefix, options.ReadLevel) = (1, TimeSpan.Zero, new string('p', 2_000), KvReadLevel.Session))
            .Should().ContainAll("RenewAfter must", "Timeout must", "KeyPrefix must", "ReadLevel must");

        Func<Task> start = async () => await (await WebHost.StartAsync(hosted => hosted.AddKvStoreOutputCache(options => options.Keyspace = ""), _ => { })).DisposeAsync();
        (await start.Should().ThrowAsync<OptionsValidationException>()).Which.Message.Should().ContainAll("Keyspace must", "No client is registered");
    }

    private static string Problems(Action<KvCacheOptions> configure)
    {
        using ServiceProvider provider = new ServiceCollection().AddKvStoreCache(configure).BuildServiceProvider();
        Action read = () => _ = provider.GetRequiredService<IOptions<KvCacheOptions>>().Value;
        return read.Should().Throw<OptionsValidationException>().Which.Message;
    }

    private Task<WebHost> SessionHostAsync(string keyspace, uint node) => WebHost.StartAsync(
        services =>
        {
            services.AddKvStore(options => _cluster.PlaceBeside(node, options));
            services.AddKvStoreCache(options => (options.Keyspace, options.Timeout) = (keyspace, Patience));
            services.AddSession(options => options.IOTimeout = Patience);
        },
        app =>
        {
            app.UseSession();
            app.MapGet("/count", (HttpContext http) =>
            {
                int count = (http.Session.GetInt32("count") ?? 0) + 1;
                http.Session.SetInt32("count", count);
                return $"{count}";
            });
            app.MapGet("/clear", (HttpContext http) =>
            {
                http.Session.Clear();
                return "cleared";
            });
        });

    private Task<WebHost> PageHostAsync(string keyspace, uint node, Func<int> render) => WebHost.StartAsync(
        services =>
        {
            services.AddKvStore(options => _cluster.PlaceBeside(node, options));
            services.AddKvStoreOutputCache(options => (options.Keyspace, options.Timeout) = (keyspace, Patience));
        },
        app =>
        {
            app.UseOutputCache();
            app.MapGet("/products", () => $"products {render()}").CacheOutput(policy => policy.Tag("products", "all").SetVaryByHost(false).Expire(TimeSpan.FromMinutes(5)));
            app.MapGet("/about", () => $"about {render()}").CacheOutput(policy => policy.Tag("texts").SetVaryByHost(false).Expire(TimeSpan.FromMinutes(5)));
            app.MapGet("/large", () => $"{render()}".PadRight(2 << 20)).CacheOutput(policy => policy.Expire(TimeSpan.FromMinutes(5)));
        });

    private ServiceProvider Hybrid(string keyspace, uint node)
    {
        var services = new ServiceCollection();
        services.AddKvStore(options => _cluster.PlaceBeside(node, options));
        services.AddKvStoreCache(options => (options.Keyspace, options.Timeout) = (keyspace, Patience));
        services.AddHybridCache();
        return services.BuildServiceProvider();
    }

    /// <summary>Waits until what was written is at every replica: an instance beside another node reads the same then. A cp keyspace needs no waiting.</summary>
    private Task SettleAsync(string keyspace, Under under) => under == Under.Cp ? Task.CompletedTask : _cluster.WaitUntilConvergedAsync(keyspace);
}

using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using FluentAssertions;
using KvStore.Client;
using KvStore.Client.OutputCaching;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace KvStore.Cluster.Tests.Caching;

/// <summary>The store of output caching by itself, as code that keeps pages of its own uses it; <see cref="CacheInHostsTests"/> has it under ASP.NET Core.</summary>
[Collection(ClusterCollection.Name)]
public sealed class OutputCacheStoreTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private static readonly TimeSpan Life = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly byte[] Page = Encoding.UTF8.GetBytes("<html>tea</html>");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task A_page_is_stored_read_in_both_ways_and_evicted_by_its_tag()
    {
        var store = new KvOutputCacheStore(nodes.Cluster.Client, new KvOutputCacheOptions { Keyspace = await NewKeyspaceAsync(), ReadLevel = KvReadLevel.Linearizable, Timeout = Patience });
        (await store.GetAsync("tea", Cancellation)).Should().BeNull();
        await store.SetAsync("tea", Page, ["drinks"], Life, Cancellation);
        await store.SetAsync("milk", new ReadOnlySequence<byte>(Page), new[] { "drinks", "white" }, Life, Cancellation);
        await store.SetAsync("bread", Page, null, Life, Cancellation);

        (await store.GetAsync("tea", Cancellation)).Should().Equal(Page);
        (await PipedAsync(store, "milk")).Should().Equal(Page);
        (await PipedAsync(store, "cheese")).Should().BeNull();

        await store.EvictByTagAsync("drinks", Cancellation);
        (await store.GetAsync("tea", Cancellation)).Should().BeNull();
        (await PipedAsync(store, "milk")).Should().BeNull();
        (await store.GetAsync("bread", Cancellation)).Should().Equal(Page);
    }

    [Fact]
    public async Task The_store_uses_the_client_that_its_options_name()
    {
        string keyspace = await NewKeyspaceAsync();
        var services = new ServiceCollection();
        services.AddKeyedKvStore("eu", options => options.Endpoints.Add(nodes.Cluster.Endpoints.First()));
        services.AddKvStoreOutputCache(options => (options.Keyspace, options.ClientName, options.Timeout) = (keyspace, "eu", Patience));
        await using ServiceProvider provider = services.BuildServiceProvider();
        IOutputCacheStore store = provider.GetRequiredService<IOutputCacheStore>();
        await store.SetAsync("tea", Page, [], Life, Cancellation);
        (await store.GetAsync("tea", Cancellation)).Should().Equal(Page);
    }

    private static async Task<byte[]?> PipedAsync(KvOutputCacheStore store, string key)
    {
        var pipe = new Pipe();
        bool found = await store.TryGetAsync(key, pipe.Writer, Cancellation);
        await pipe.Writer.CompleteAsync();
        if (!found)
        {
            return null;
        }

        using var page = new MemoryStream();
        await pipe.Reader.CopyToAsync(page, Cancellation);
        return page.ToArray();
    }

    private async Task<string> NewKeyspaceAsync()
    {
        string name = nodes.NewName("pages");
        await nodes.Cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1, Cancellation);
        return name;
    }
}

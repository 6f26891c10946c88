using System.Net;
using System.Net.Http.Json;
using KvStore.Client;
using KvStore.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Shop.Carts;
using Shop.Orders;

namespace Shop.Tests;

/// <summary>One instance of the shop, in the data centre of one node: it reaches what that node reaches.</summary>
internal sealed class ShopInstance : IAsyncDisposable
{
    private readonly WebApplication _app;

    private ShopInstance(WebApplication app) => _app = app;

    public Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());

    public static async Task<ShopInstance> StartAsync(KvTestCluster cluster, uint beside)
    {
        WebApplication app = ShopApp.Build(["--urls", "http://127.0.0.1:0", "--Logging:LogLevel:Default", "None", "--Logging:LogLevel:Microsoft.Hosting.Lifetime", "None"], builder =>
            builder.Services.AddOptions<KvClientOptions>().PostConfigure(options =>
            {
                options.Endpoints.Clear();
                cluster.PlaceBeside(beside, options);
            }));
        await app.StartAsync();
        return new ShopInstance(app);
    }

    /// <summary>A visitor's way to this instance. Visitors who are sent to another one take their cookies along.</summary>
    public Visitor Visit(CookieContainer? cookies = null) => new(Address, cookies ?? new CookieContainer());

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}

/// <summary>Somebody with a browser.</summary>
internal sealed class Visitor(Uri shop, CookieContainer cookies) : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { CookieContainer = cookies, UseProxy = false }) { BaseAddress = shop, Timeout = TimeSpan.FromSeconds(60) };

    public CookieContainer Cookies => cookies;

    public async Task<CartView> PutInAsync(string product)
    {
        using HttpResponseMessage answer = await _http.PostAsync($"/cart/{product}", null);
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<CartView>())!;
    }

    public async Task<CartView> TakeOutAsync(string product)
    {
        string line = (await CartAsync()).Lines.First(line => line.Product == product).Id;
        using HttpResponseMessage answer = await _http.DeleteAsync($"/cart/{line}");
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<CartView>())!;
    }

    public async Task<CartView> CartAsync() => (await _http.GetFromJsonAsync<CartView>("/cart"))!;

    /// <summary>What the session remembers.</summary>
    public async Task<string[]> RecentAsync() => (await _http.GetFromJsonAsync<string[]>("/recent"))!;

    public Task<HttpResponseMessage> CheckOutAsync() => _http.PostAsync("/checkout", null);

    public async Task<Order> OrderAsync()
    {
        using HttpResponseMessage answer = await CheckOutAsync();
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<Order>())!;
    }

    public async Task<IReadOnlyList<Order>> OrdersAsync() => (await _http.GetFromJsonAsync<Order[]>("/orders"))!;

    public void Dispose() => _http.Dispose();
}

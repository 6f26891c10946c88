using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KvStore.Cluster.Tests.Caching;

/// <summary>A web application on a real port, as one of several instances: all can read each other's cookies.</summary>
internal sealed class WebHost : IAsyncDisposable
{
    private static readonly IDataProtectionProvider Protection = new EphemeralDataProtectionProvider();
    private readonly WebApplication _app;

    private WebHost(WebApplication app) => _app = app;

    public IServiceProvider Services => _app.Services;

    private Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());

    public static async Task<WebHost> StartAsync(Action<IServiceCollection> services, Action<WebApplication> routes)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrel(options => options.Listen(IPAddress.Loopback, 0));
        builder.Services.AddRoutingCore();
        builder.Services.AddLogging(logging => logging.ClearProviders());
        builder.Services.AddSingleton(Protection);
        services(builder.Services);
        WebApplication app = builder.Build();
        routes(app);
        await app.StartAsync();
        return new WebHost(app);
    }

    /// <summary>A browser's way to this instance; browsers may share their cookies.</summary>
    public HttpClient Browser(CookieContainer cookies) => new(new SocketsHttpHandler { CookieContainer = cookies, UseProxy = false }) { BaseAddress = Address, Timeout = TimeSpan.FromSeconds(60) };

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}

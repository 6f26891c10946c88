using System.Net;
using System.Net.Sockets;
using KvStore.Contracts.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KvStore.Cluster.Tests.BadInput;

/// <summary>What may listen where a caller expects a node.</summary>
public enum Stranger
{
    /// <summary>A web server of HTTP/1.1 that has a page for everything.</summary>
    PlainHttp,

    /// <summary>A web server that speaks HTTP/2 without TLS, as nodes do, and has a page for everything.</summary>
    Http2Pages,

    /// <summary>A gRPC server without our services; a node of another protocol version looks like this, because the version is in the services' names.</summary>
    OtherGrpc,

    /// <summary>Something that greets with a line of its own, as mail and shell servers do.</summary>
    Greeter,

    /// <summary>A web server that refuses what is no HTTP/1 in the words of HTTP/1, and hangs up.</summary>
    RawHttp,

    /// <summary>It takes connections and says nothing.</summary>
    Silent,

    /// <summary>It takes connections and ends them, as a forwarded port does while there is nobody behind it.</summary>
    Closer,

    /// <summary>A proxy whose node is not up: HTTP/2, status 503.</summary>
    ProxyInVain,
}

/// <summary>A server that is no node, on a port of its own.</summary>
internal sealed class StrangeServer : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private WebApplication? _pages;
    private TcpListener? _listener;
    private Task _accepting = Task.CompletedTask;

    public string Address { get; private set; } = "";

    public static async Task<StrangeServer> StartAsync(Stranger kind)
    {
        var server = new StrangeServer();
        switch (kind)
        {
            case Stranger.Greeter:
                server.Listen("220 ready\r\n"u8.ToArray(), hangUp: false);
                break;
            case Stranger.RawHttp:
                server.Listen("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"u8.ToArray(), hangUp: true);
                break;
            case Stranger.Silent or Stranger.Closer:
                server.Listen([], hangUp: kind == Stranger.Closer);
                break;
            default:
                await server.ServeAsync(kind);
                break;
        }

        return server;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener?.Stop();
        await _accepting;
        if (_pages is not null)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
            try
            {
                await _pages.StopAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                // Callers that hold on are cut off.
            }

            await _pages.DisposeAsync();
        }

        _stop.Dispose();
    }

    private async Task ServeAsync(Stranger kind)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = kind == Stranger.PlainHttp ? HttpProtocols.Http1 : HttpProtocols.Http2));
        builder.Services.AddGrpc();
        _pages = builder.Build();
        if (kind == Stranger.OtherGrpc)
        {
            _pages.MapGrpcService<OtherService>();
        }
        else
        {
            _pages.MapFallback((HttpContext context) =>
            {
                context.Response.StatusCode = kind == Stranger.ProxyInVain ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status200OK;
                return context.Response.WriteAsync("<html>Welcome</html>");
            });
        }

        await _pages.StartAsync();
        Address = new Uri(_pages.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()).Authority;
    }

    private void Listen(byte[] greeting, bool hangUp)
    {
        _listener = new TcpListener(IPAddress.Loopback, 0);
        _listener.Start();
        Address = _listener.LocalEndpoint.ToString()!;
        _accepting = AcceptAsync(greeting, hangUp);
    }

    private async Task AcceptAsync(byte[] greeting, bool hangUp)
    {
        List<Socket> held = [];
        try
        {
            while (true)
            {
                Socket socket = await _listener!.AcceptSocketAsync(_stop.Token);
                held.Add(socket);
                if (hangUp)
                {
                    // Not before the caller has begun: an end with bytes unread is a reset, which may overtake the greeting.
                    await socket.ReceiveAsync(new byte[4_096], _stop.Token);
                }

                await socket.SendAsync(greeting, _stop.Token);
                if (hangUp)
                {
                    socket.Shutdown(SocketShutdown.Send);
                }
            }
        }
        catch (Exception stopped) when (stopped is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            held.ForEach(socket => socket.Dispose());
        }
    }

    private sealed class OtherService : Fault.FaultBase;
}

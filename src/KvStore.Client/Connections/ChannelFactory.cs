using System.Net;
using System.Net.Sockets;
using Grpc.Net.Client;

namespace KvStore.Client.Connections;

/// <summary>Channels with the settings that keep a client from hanging: short connects, keepalive pings against half-open connections, no proxy, no cookies, a window fit for large answers.</summary>
internal static class ChannelFactory
{
    private const int StreamWindowBytes = 4 * 1_048_576;
    private const int MaxReceiveBytes = 64 * 1_048_576;

    /// <param name="address">http or https.</param>
    /// <param name="options">The connect timeout, and how to dial.</param>
    /// <param name="onConnected">Called when the TCP connection stands; before that nothing can have been sent.</param>
    /// <param name="hears">Not null: is told what the other side begins with.</param>
    public static GrpcChannel Create(Uri address, KvClientOptions options, Action? onConnected = null, Overheard? hears = null)
    {
        SocketsHttpHandler handler = new()
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ConnectTimeout = options.ConnectTimeout,
            KeepAlivePingDelay = TimeSpan.FromSeconds(10),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(5),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            InitialHttp2StreamWindowSize = StreamWindowBytes,
            EnableMultipleHttp2Connections = true,
            ActivityHeadersPropagator = null,
            ConnectCallback = async (context, cancellationToken) =>
            {
                NetworkStream stream = await ConnectAsync(context.DnsEndPoint, cancellationToken).ConfigureAwait(false);
                options.Dialled?.Invoke(context.DnsEndPoint, stream);
                onConnected?.Invoke();
                return hears is null ? stream : hears.ListenTo(stream, address.Scheme == Uri.UriSchemeHttps);
            },
        };
        return GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = MaxReceiveBytes,
            MaxSendMessageSize = null,
        });
    }

    private static async ValueTask<NetworkStream> ConnectAsync(DnsEndPoint endPoint, CancellationToken cancellationToken)
    {
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(endPoint, cancellationToken).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}

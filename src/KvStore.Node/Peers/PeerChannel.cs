using Grpc.Net.Client;

namespace KvStore.Node.Peers;

/// <summary>
/// A channel with a connection of its own, for one stream. A new one for each attempt: so no state of an earlier connection (backoff of a subchannel, half-dead sockets, resolved addresses) outlives it.
/// </summary>
internal static class PeerChannel
{
    private const int StreamWindowBytes = 4 * 1_048_576;

    /// <summary>For watches that are relayed: many streams, and more connections when one is full.</summary>
    public static GrpcChannel ForWatches(string address) => Open(address, new PeerMeshOptions(), many: true);

    public static GrpcChannel Open(string address, PeerMeshOptions options, bool many = false)
    {
        SocketsHttpHandler handler = new()
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ActivityHeadersPropagator = null,
            EnableMultipleHttp2Connections = many,
            ConnectTimeout = options.ConnectTimeout,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            InitialHttp2StreamWindowSize = StreamWindowBytes,
            ConnectCallback = (context, cancellation) => PeerSocket.ConnectAsync(context.DnsEndPoint, options, cancellation),
        };
        if (!PeerSocket.FindsBlackHoles)
        {
            handler.KeepAlivePingDelay = options.KeepAliveDelay;
            handler.KeepAlivePingTimeout = options.KeepAliveTimeout;
            handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always;
        }

        return GrpcChannel.ForAddress($"http://{address}", new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = PeerMeshOptions.MaxMessageBytes,
            MaxSendMessageSize = PeerMeshOptions.MaxMessageBytes,
            MaxRetryAttempts = 1,
        });
    }
}

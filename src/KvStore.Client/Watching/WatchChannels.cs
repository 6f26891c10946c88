using System.Collections.Concurrent;
using Grpc.Net.Client;
using KvStore.Client.Connections;

namespace KvStore.Client;

/// <summary>Channels for watches, apart from the data streams: one for each address, with as many connections as its streams need.</summary>
internal sealed class WatchChannels(KvClientOptions options) : IDisposable
{
    private readonly ConcurrentDictionary<Uri, Lazy<GrpcChannel>> _channels = new();
    private readonly string _scheme = new Uri(options.Endpoints[0]).Scheme;

    public GrpcChannel To(KvMember member) =>
        _channels.GetOrAdd(new Uri($"{_scheme}://{member.Address}"), address => new Lazy<GrpcChannel>(() => ChannelFactory.Create(address, options))).Value;

    public void Dispose()
    {
        foreach (Lazy<GrpcChannel> channel in _channels.Values)
        {
            channel.Value.Dispose();
        }
    }
}

using System.Net;
using System.Net.Sockets;

namespace KvStore.TestKit;

/// <summary>Where a client is in the network: which nodes its connections may reach at the moment.</summary>
/// <param name="reaches">Whether a node can be reached from here now.</param>
/// <param name="nodeOf">The node that listens on a port.</param>
internal sealed class ClientPlace(Func<uint, bool> reaches, Func<int, uint> nodeOf)
{
    private readonly List<(uint Node, Stream Stream)> _open = [];

    /// <summary>Refuses a connection across a cut; remembers others, to close them when one comes.</summary>
    /// <exception cref="SocketException">The node can't be reached from here.</exception>
    public void Admit(DnsEndPoint target, Stream stream)
    {
        uint node = nodeOf(target.Port);
        lock (_open)
        {
            if (reaches(node))
            {
                _open.RemoveAll(connection => !connection.Stream.CanRead);
                _open.Add((node, stream));
                return;
            }
        }

        stream.Dispose();
        throw new SocketException((int)SocketError.NetworkUnreachable);
    }

    public void CloseWhatIsCut()
    {
        lock (_open)
        {
            foreach ((uint node, Stream stream) in _open.Where(connection => !reaches(connection.Node)))
            {
                stream.Dispose();
            }

            _open.RemoveAll(connection => !connection.Stream.CanRead);
        }
    }
}

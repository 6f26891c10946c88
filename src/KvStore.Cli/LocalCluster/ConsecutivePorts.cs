using System.Net;
using System.Net.Sockets;
using KvStore.Cli.Running;

namespace KvStore.Cli.LocalCluster;

/// <summary>Ports for a cluster that lives as long as one command.</summary>
internal static class ConsecutivePorts
{
    private const int Attempts = 100;

    /// <summary>The first of as many consecutive ports as there are nodes, all of them free a moment ago.</summary>
    /// <exception cref="CliFailure">There are none.</exception>
    public static int Find(int nodes)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var first = Random.Shared.Next(20_000, 32_000 - nodes);
            if (Enumerable.Range(first, nodes).All(IsFree))
            {
                return first;
            }
        }

        throw new CliFailure(ExitCode.Unavailable, $"No {nodes} consecutive free ports were found between 20000 and 32000; stop what holds them.");
    }

    private static bool IsFree(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

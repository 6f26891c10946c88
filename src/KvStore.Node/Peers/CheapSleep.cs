using System.Net.Sockets;

namespace KvStore.Node.Peers;

/// <summary>
/// Sleeps by one call of the system: poll, on a socket that nobody knows and nothing ever happens to. Waiting for an event with a timeout, as .NET does it, costs a thread that wakes twenty times a second for nothing else a
/// third of its time.
/// </summary>
internal sealed class CheapSleep : IDisposable
{
    private readonly Socket _silent = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);

    /// <returns>False: it did not sleep, or not for so long; sleep otherwise.</returns>
    public bool TrySleep(TimeSpan time)
    {
        try
        {
            return !_silent.Poll(time, SelectMode.SelectError);
        }
        catch (SocketException)
        {
            return false;
        }
    }

    public void Dispose() => _silent.Dispose();
}

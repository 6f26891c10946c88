using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace KvStore.Node.Peers;

/// <summary>
/// When the datagram that was taken last from a socket had arrived there, as the kernel noted it. So a thread that empties the socket only now and then still measures round trips as if it had been woken by each.
/// </summary>
internal static partial class DatagramArrival
{
    /// <summary>SIOCGSTAMP of Linux, the same on all processors that .NET runs on.</summary>
    private const nuint GetStamp = 0x8906;

    /// <summary>How long ago that was; zero where the system doesn't tell.</summary>
    public static TimeSpan Age(SafeSocketHandle socket)
    {
        if (!OperatingSystem.IsLinux() || !Environment.Is64BitProcess || Control(socket, GetStamp, out TimeValue stamp) != 0)
        {
            return TimeSpan.Zero;
        }

        DateTimeOffset arrived = DateTimeOffset.UnixEpoch.AddSeconds(stamp.Seconds).AddMicroseconds(stamp.Microseconds);
        TimeSpan age = DateTimeOffset.UtcNow - arrived;
        return age > TimeSpan.Zero ? age : TimeSpan.Zero;
    }

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Control(SafeSocketHandle socket, nuint request, out TimeValue value);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeValue
    {
        public long Seconds;
        public long Microseconds;
    }
}

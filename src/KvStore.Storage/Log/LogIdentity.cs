using System.Text;
using KvStore.Core.Identity;

namespace KvStore.Storage.Log;

/// <summary>Whose log this is. A file of another cluster or node is refused.</summary>
internal readonly record struct LogIdentity(ulong Cluster, NodeId Node)
{
    private const ulong FnvOffset = 0xCBF2_9CE4_8422_2325;
    private const ulong FnvPrime = 0x0000_0100_0000_01B3;

    public static LogIdentity Of(string cluster, NodeId node)
    {
        var hash = FnvOffset;
        foreach (var b in Encoding.UTF8.GetBytes(cluster))
        {
            hash = (hash ^ b) * FnvPrime;
        }

        return new LogIdentity(hash, node);
    }
}

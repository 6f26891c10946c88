using System.Diagnostics;
using System.Globalization;
using KvStore.Cli.LocalCluster;

namespace KvStore.Cli.Bench.Rig;

/// <summary>What a node's process uses at one moment.</summary>
/// <param name="Node">The node.</param>
/// <param name="Used">User and system time of all its threads so far.</param>
/// <param name="ResidentBytes">Resident memory.</param>
/// <param name="Threads">Its threads.</param>
/// <param name="OpenFiles">Descriptors, sockets included; null where the system does not tell.</param>
internal sealed record NodeReading(int Node, TimeSpan Used, long ResidentBytes, int Threads, int? OpenFiles)
{
    /// <exception cref="ArgumentException">The node does not run any more.</exception>
    public static NodeReading Of(NodeProcess node)
    {
        using var process = Process.GetProcessById(node.Pid);
        var descriptors = string.Create(CultureInfo.InvariantCulture, $"/proc/{node.Pid}/fd");
        return new NodeReading(
            node.Node, process.TotalProcessorTime, process.WorkingSet64, process.Threads.Count, Directory.Exists(descriptors) ? Directory.GetFileSystemEntries(descriptors).Length : null);
    }
}

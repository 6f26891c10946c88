using System.Diagnostics;
using System.Globalization;
using KvStore.Cli.LocalCluster;

namespace KvStore.Cli.Bench;

/// <summary>The processor time that each node of a cluster has used so far, and what the machine did meanwhile.</summary>
internal sealed record IdleReading(long Timestamp, IReadOnlyList<TimeSpan> Used, CpuTimes? Machine)
{
    public static IdleReading Of(LocalClusterProcesses cluster) => new(TimeProvider.System.GetTimestamp(), [.. cluster.Nodes.Select(node => UsedBy(node.Pid))], CpuTimes.Read());

    /// <summary>
    /// A line about the time since an earlier reading. Per cent of one core, all nodes together, and each. The processor time counts nothing that others used, but a busy machine has cold caches and makes every wake-up dearer:
    /// so the line says how busy it was.
    /// </summary>
    public string Describe(int number, IdleReading begin)
    {
        var elapsed = TimeProvider.System.GetElapsedTime(begin.Timestamp, Timestamp);
        double[] shares = [.. Used.Zip(begin.Used, (now, then) => 100 * (now - then) / elapsed)];
        var machine = Machine is { } now && begin.Machine is { } then ? now.PercentSince(then) : default;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"  window {number}  {shares.Sum():0.00} % of a core ({string.Join(" + ", shares.Select(share => share.ToString("0.00", CultureInfo.InvariantCulture)))}) in {elapsed.TotalSeconds:0.0} s; machine busy {machine.Busy:0.0} %, steal {machine.Steal:0.0} %, load {Load()}");
    }

    /// <summary>User and system time of all threads.</summary>
    private static TimeSpan UsedBy(int pid)
    {
        using var process = Process.GetProcessById(pid);
        return process.TotalProcessorTime;
    }

    private static string Load() => File.Exists("/proc/loadavg") ? File.ReadAllText("/proc/loadavg").Split(' ')[0] : "unknown";
}

using System.Globalization;

namespace KvStore.Cli.Bench;

/// <summary>
/// The processor time of the whole machine, from /proc/stat. Steal is what the hypervisor gave to others while this machine wanted to run: above a few percent it
/// makes a measurement worthless, so every report carries it.
/// </summary>
/// <param name="Busy">Ticks spent on anything but idling and steal.</param>
/// <param name="Steal">Ticks stolen.</param>
/// <param name="Total">All ticks.</param>
internal readonly record struct CpuTimes(long Busy, long Steal, long Total)
{
    /// <summary>The times since boot; null where the system has no /proc/stat.</summary>
    public static CpuTimes? Read()
    {
        try
        {
            return File.Exists("/proc/stat") ? Parse(File.ReadLines("/proc/stat").First()) : null;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Reads "cpu user nice system idle iowait irq softirq steal guest guest_nice"; guest times are contained in user and nice.</summary>
    public static CpuTimes? Parse(string line)
    {
        var fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (fields.Length < 9 || fields[0] != "cpu")
        {
            return null;
        }

        var ticks = new long[8];
        for (var field = 0; field < ticks.Length; field++)
        {
            if (!long.TryParse(fields[field + 1], NumberStyles.None, CultureInfo.InvariantCulture, out ticks[field]))
            {
                return null;
            }
        }

        var idle = ticks[3] + ticks[4];
        var total = ticks.Sum();
        return new CpuTimes(total - idle - ticks[7], ticks[7], total);
    }

    /// <summary>Shares of the time since an earlier reading, in percent of all processors.</summary>
    public (double Busy, double Steal) PercentSince(CpuTimes earlier)
    {
        var total = Total - earlier.Total;
        return total <= 0 ? (0, 0) : (100.0 * (Busy - earlier.Busy) / total, 100.0 * (Steal - earlier.Steal) / total);
    }
}

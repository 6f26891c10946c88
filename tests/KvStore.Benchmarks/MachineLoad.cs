using System.Globalization;

namespace KvStore.Benchmarks;

/// <summary>How busy others kept the machine while something was measured: without it a figure is a rumour. Linux only; elsewhere it says so.</summary>
internal sealed record MachineLoad(long Steal, long All, string Average)
{
    public static MachineLoad Now()
    {
        if (!File.Exists("/proc/stat"))
        {
            return new MachineLoad(0, 0, "not known");
        }

        long[] ticks = [.. File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(field => long.Parse(field, CultureInfo.InvariantCulture))];
        const int StealField = 7;
        return new MachineLoad(ticks[StealField], ticks.Take(StealField + 1).Sum(), File.ReadAllText("/proc/loadavg").Split(' ')[0]);
    }

    public string Since(MachineLoad before) => All == before.All
        ? "Load: not known."
        : $"Load {before.Average} at the beginning, {Average} at the end, on {Environment.ProcessorCount} cores; steal {100.0 * (Steal - before.Steal) / (All - before.All):0.0} %.";
}

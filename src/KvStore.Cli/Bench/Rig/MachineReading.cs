using System.Globalization;

namespace KvStore.Cli.Bench.Rig;

/// <summary>What the whole machine has done so far. Every report carries it: on a busy machine a figure says little, and with steal it says nothing.</summary>
internal sealed record MachineReading(CpuTimes? Times)
{
    public static MachineReading Now() => new(CpuTimes.Read());

    /// <summary>"machine busy 97 %, steal 0.0 %, load 8.11 on 2 cores", about the time from this reading until now.</summary>
    public string Since() => Times is { } earlier && CpuTimes.Read() is { } now && now.PercentSince(earlier) is var (busy, steal)
        ? string.Create(CultureInfo.InvariantCulture, $"machine busy {busy:0} %, steal {steal:0.0} %, load {File.ReadAllText("/proc/loadavg").Split(' ')[0]} on {Environment.ProcessorCount} cores")
        : "the machine does not tell its load";
}

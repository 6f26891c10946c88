using System.Globalization;
using System.Text;
using KvStore.Core.Detection;

namespace KvStore.Core.Tests.Detection;

/// <summary>What each threshold costs and gives on each series of arrivals: how soon a silence is noticed, and how often one is noticed that was none.</summary>
internal static class DetectorTable
{
    public static readonly double[] Thresholds = [1, 3, 5, 8, 12];

    public static ArrivalSeries[] Series { get; } =
    [
        ArrivalSeries.Draw("drawn, jitter 1 ms", seed: 1, deviationMs: 1, loss: 0),
        ArrivalSeries.Draw("drawn, jitter 25 ms", seed: 2, deviationMs: 25, loss: 0),
        ArrivalSeries.Draw("drawn, jitter 100 ms", seed: 3, deviationMs: 100, loss: 0),
        ArrivalSeries.Draw("drawn, jitter 25 ms, 5 % lost", seed: 4, deviationMs: 25, loss: 0.05),
        ArrivalSeries.Draw("drawn, jitter 25 ms, 30 % lost", seed: 5, deviationMs: 25, loss: 0.30),
        ArrivalSeries.Read("recorded, idle cluster", "idle.txt"),
        ArrivalSeries.Read("recorded, cluster under full load", "loaded.txt"),
    ];

    public static string Render(double pauseMs)
    {
        var text = new StringBuilder();
        text.Append("| heartbeats every 50 ms | longest gap |").AppendJoin('|', Thresholds.Select(phi => $" phi {phi} ")).Append("|\n");
        text.Append("|---|---|").AppendJoin('|', Thresholds.Select(_ => "---")).Append("|\n");
        foreach (ArrivalSeries series in Series)
        {
            IReadOnlyList<(double DetectMs, int FalseAlarms)> columns = Play(series, pauseMs);
            double hours = series.IntervalsMs.Sum() / 3_600_000;
            text.Append(CultureInfo.InvariantCulture, $"| {series.Name} | {series.IntervalsMs.Max():0} ms |")
                .AppendJoin('|', columns.Select(column => string.Create(CultureInfo.InvariantCulture, $" {column.DetectMs:0} ms, {PerHour(column.FalseAlarms, hours)} "))).Append("|\n");
        }

        return text.ToString();
    }

    /// <summary>Per threshold: the median time from the last heartbeat to the verdict, and how many arrivals came after the verdict.</summary>
    public static IReadOnlyList<(double DetectMs, int FalseAlarms)> Play(ArrivalSeries series, double pauseMs)
    {
        const int WarmUp = 100;
        const int LookEvery = 50;
        var detector = new PhiAccrualDetector(PhiAccrualOptions.For(50) with { AcceptablePauseMs = pauseMs });
        var alarms = new int[Thresholds.Length];
        List<double>[] times = [.. Thresholds.Select(_ => new List<double>())];
        double now = 0;
        for (int i = 0; i < series.IntervalsMs.Count; i++)
        {
            now += series.IntervalsMs[i];
            double phi = detector.Phi((long)now);
            for (int t = 0; t < Thresholds.Length; t++)
            {
                alarms[t] += i >= WarmUp && phi >= Thresholds[t] ? 1 : 0;
            }

            detector.OnHeartbeat((long)now);
            if (i >= WarmUp && i % LookEvery == 0)
            {
                AddTimes(detector, (long)now, times);
            }
        }

        return [.. Thresholds.Select((_, t) => (times[t].Order().ElementAt(times[t].Count / 2), alarms[t]))];
    }

    private static void AddTimes(PhiAccrualDetector detector, long now, List<double>[] times)
    {
        for (int t = 0; t < Thresholds.Length; t++)
        {
            long low = 0;
            for (long high = 60_000; high - low > 1;)
            {
                long middle = (low + high) / 2;
                (low, high) = detector.Phi(now + middle) >= Thresholds[t] ? (low, middle) : (middle, high);
            }

            times[t].Add(low + 1);
        }
    }

    private static string PerHour(int alarms, double hours) => alarms == 0 ? "none" : string.Create(CultureInfo.InvariantCulture, $"{alarms / hours:0.#}/h");
}

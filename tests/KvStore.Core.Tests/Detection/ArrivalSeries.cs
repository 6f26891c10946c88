using System.Globalization;
using System.Runtime.CompilerServices;

namespace KvStore.Core.Tests.Detection;

/// <summary>The times between heartbeats as they arrived, in milliseconds: recorded from real nodes, or drawn.</summary>
internal sealed record ArrivalSeries(string Name, IReadOnlyList<double> IntervalsMs)
{
    private const int Drawn = 72_000;

    /// <summary>An hour of heartbeats every 50 ms, each late by a normally distributed time, with some of them lost.</summary>
    public static ArrivalSeries Draw(string name, int seed, double deviationMs, double loss)
    {
        const double BeatMs = 50;
        var random = new Random(seed);
        var intervals = new List<double>(Drawn);
        double last = 0;
        for (int i = 1; i <= Drawn; i++)
        {
            // A sum of twelve is as good as normal here, and cheap.
            double late = 0;
            for (int j = 0; j < 12; j++)
            {
                late += random.NextDouble();
            }

            double at = (i * BeatMs) + Math.Abs((late - 6) * deviationMs);
            if (random.NextDouble() < loss || at < last)
            {
                continue;
            }

            intervals.Add(at - last);
            last = at;
        }

        return new ArrivalSeries(name, intervals);
    }

    /// <summary>From a file of one interval a line; lines that begin with # say where it is from.</summary>
    public static ArrivalSeries Read(string name, string file) => new(name, [.. File.ReadLines(Path.Combine(Folder(), file)).Where(line => line.Length > 0 && line[0] != '#').Select(line => double.Parse(line, CultureInfo.InvariantCulture))]);

    private static string Folder([CallerFilePath] string source = "") => Path.Combine(Path.GetDirectoryName(source)!, "Arrivals");
}

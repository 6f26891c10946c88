using System.Diagnostics;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// Plays a failing seed again and again with fewer faults and less load, and keeps what still fails in the same way (delta debugging: Zeller and Hildebrandt, IEEE TSE 2002). Bounded in runs and
/// in time.
/// </summary>
internal static class Shrinker
{
    private const int MaxRuns = 200;
    private const int SignatureLetters = 40;
    private static readonly TimeSpan MaxTime = TimeSpan.FromSeconds(60);

    /// <summary>Says which strikes are enough to fail, and how to replay that.</summary>
    public static string Shrink(SimulationReport failed)
    {
        var search = new Search(failed);
        SimulationReport smallest = search.Run();
        return $"Shrunk from {failed.Strikes.Count} to {smallest.Strikes.Count} strikes and from {failed.Operations} to {smallest.Operations} operations in {search.Runs} runs:{Environment.NewLine}"
            + string.Concat(smallest.Strikes.Select(strike => $"  {strike}{Environment.NewLine}"))
            + $"Replay: {smallest.Replay}";
    }

    private sealed class Search(SimulationReport failed)
    {
        private readonly Stopwatch _time = Stopwatch.StartNew();
        private readonly string _signature = SignatureOf(failed.Failure!);
        private readonly SimulationReport _failed = failed;
        private SimulationReport _best = failed;

        public int Runs { get; private set; }

        private bool MayGoOn => Runs < MaxRuns && _time.Elapsed < MaxTime;

        public SimulationReport Run()
        {
            Try(_failed.Options with { Keep = [.. _failed.Strikes.Select(strike => strike.Number)] });
            Try(_best.Options with { ForcesRareBranches = false });
            DropStrikes();
            foreach (int percent in (int[])[10, 25, 50, 75])
            {
                if (Try(_best.Options with { LoadPercent = percent }))
                {
                    DropStrikes();
                    break;
                }
            }

            return _best;
        }

        /// <summary>Leaves out halves, then quarters, and so on down to single strikes.</summary>
        private void DropStrikes()
        {
            List<int> kept = [.. _best.Strikes.Select(strike => strike.Number)];
            for (int parts = 2; kept.Count > 0 && MayGoOn;)
            {
                int size = Math.Max(1, kept.Count / parts);
                bool dropped = false;
                for (int from = 0; from < kept.Count && MayGoOn;)
                {
                    List<int> fewer = [.. kept.Take(from), .. kept.Skip(from + size)];
                    if (Try(_best.Options with { Keep = fewer }))
                    {
                        kept = fewer;
                        dropped = true;
                    }
                    else
                    {
                        from += size;
                    }
                }

                if (size == 1 && !dropped)
                {
                    return;
                }

                parts = Math.Min(Math.Max(2, kept.Count), parts * 2);
            }
        }

        private bool Try(SimulationOptions options)
        {
            if (!MayGoOn)
            {
                return false;
            }

            Runs++;
            SimulationReport report = Simulation.Run(_failed.Kind, _failed.Seed, options with { Lines = null });
            if (report.Failure is null || SignatureOf(report.Failure) != _signature)
            {
                return false;
            }

            _best = report;
            return true;
        }

        /// <summary>The beginning of the message without its numbers and names: what kind of failure it is.</summary>
        private static string SignatureOf(string failure) => string.Concat(failure.Where(letter => char.IsLetter(letter) || letter == ' ').Take(SignatureLetters));
    }
}

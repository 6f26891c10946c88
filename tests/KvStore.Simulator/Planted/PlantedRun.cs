using System.Diagnostics;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>What a hunt for one planted bug came to.</summary>
/// <param name="Name">The bug.</param>
/// <param name="Seed">The first seed that found it; null if none did.</param>
/// <param name="Checker">The check that saw it.</param>
/// <param name="Message">What the check said, in its first line.</param>
/// <param name="Tried">How many seeds were played.</param>
/// <param name="Time">How long that took.</param>
public sealed record PlantedFinding(string Name, ulong? Seed, string? Checker, string? Message, int Tried, TimeSpan Time);

/// <summary>Hunts for planted bugs: the proof that the simulator finds things.</summary>
public static class PlantedRun
{
    /// <summary>All bugs that can be planted.</summary>
    public static IReadOnlyList<string> Names => PlantedBugs.Names;

    /// <summary>Plays the seeds one after another with the bug in them until one fails.</summary>
    /// <exception cref="ArgumentException">There is no bug of that name.</exception>
    public static PlantedFinding Hunt(string name, IEnumerable<ulong> seeds)
    {
        ArgumentNullException.ThrowIfNull(seeds);
        var time = Stopwatch.StartNew();
        int tried = 0;
        foreach (ulong seed in seeds)
        {
            tried++;
            SimulationReport report = Play(name, seed);
            if (report.Failure is { } failure)
            {
                return new PlantedFinding(name, seed, report.Checker, failure.Split('\n')[0], tried, time.Elapsed);
            }
        }

        return new PlantedFinding(name, null, null, null, tried, time.Elapsed);
    }

    internal static SimulationReport Play(string name, ulong seed, TextWriter? lines = null)
    {
        PlantedBug bug = PlantedBugs.Make(name);
        return Simulation.Run(bug.Kind, seed, new SimulationOptions { Planted = bug, Lines = lines });
    }

    /// <summary>Plays a seed with the scenario, the settings and the load that a bug is played with, without the bug. Null: everything held; otherwise what did not.</summary>
    public static string? PlayClean(string name, ulong seed)
    {
        var settings = new NoBug(PlantedBugs.Make(name));
        return Simulation.Run(settings.Kind, seed, new SimulationOptions { Planted = settings }).Failure;
    }
}

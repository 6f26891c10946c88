using System.Globalization;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Planted;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator;

/// <summary>
/// The command line: <c>--scenario consensus|open|ap|wipe|members|cluster|all</c> with <c>--seeds A..B</c>, <c>--seconds N</c> (fresh seeds) or <c>--seed N [--trace] [--keep 3,17] [--load 25] [--no-rare]</c>;
/// <c>--named all|PART [--seeds A..B]</c> plays the named scenarios; <c>--planted all|NAME [--seeds A..B]</c> hunts for planted bugs.
/// </summary>
internal static class SimulatorCommand
{
    private const int MaxFailures = 5;

    public static int Run(string[] arguments, TextWriter output)
    {
        if (Option(arguments, "--named") is { } named)
        {
            return PlayNamed(named, Range(Option(arguments, "--seeds") ?? "1..5"), output);
        }

        if (Option(arguments, "--planted") is { } planted)
        {
            string seeds = Option(arguments, "--seed") ?? Option(arguments, "--seeds") ?? "1..200";
            return PlantedCommand.Run(planted, [.. Range(seeds)], arguments.Contains("--trace"), output);
        }

        string scenario = Option(arguments, "--scenario") ?? "all";
        string[] scenarios = scenario == "all" ? ["consensus", "open", "cluster"] : [scenario];
        if (!scenarios.All(ScenarioKinds.ByName.ContainsKey))
        {
            output.WriteLine($"There is no scenario '{scenario}': choose {string.Join(", ", ScenarioKinds.ByName.Keys)} or all (consensus, open and cluster).");
            return 2;
        }

        if (Option(arguments, "--seed") is { } single)
        {
            return PlayOne(scenarios, Number(single), OptionsOf(arguments, output), output);
        }

        var run = new SimulationRun { Shrinks = !arguments.Contains("--no-shrink") };
        foreach (ulong seed in Option(arguments, "--seconds") is { } seconds ? Fresh(TimeSpan.FromSeconds(Number(seconds)), run, output) : Range(Option(arguments, "--seeds") ?? "1..50"))
        {
            foreach (string name in scenarios)
            {
                run.Play(name, seed);
            }

            if (run.Failures.Count >= MaxFailures)
            {
                break;
            }
        }

        foreach (string failure in run.Failures)
        {
            output.WriteLine(failure);
            output.WriteLine();
        }

        output.WriteLine(run.ToString());
        return run.Failures.Count == 0 ? 0 : 1;
    }

    private static int PlayOne(string[] scenarios, ulong seed, SimulationOptions options, TextWriter output)
    {
        int code = 0;
        foreach (string name in scenarios)
        {
            SimulationReport report = Simulation.Run(ScenarioKinds.ByName[name], seed, options);
            output.WriteLine($"Scenario {name}, seed {seed}: {report.Settings}");
            foreach (Faults.Strike strike in report.Strikes)
            {
                output.WriteLine($"  strike {strike}");
            }

            output.WriteLine($"{report.Operations} operations, {report.VirtualTime.TotalSeconds:0.0} virtual seconds, trace {report.TraceHash:x16}: {report.Failure ?? "all held"}");
            code |= report.Failure is null ? 0 : 1;
        }

        return code;
    }

    /// <summary>Plays the named scenarios whose name contains the text; <c>all</c> for each of them.</summary>
    private static int PlayNamed(string part, IEnumerable<ulong> seeds, TextWriter output)
    {
        int failures = 0;
        foreach ((string name, Action<ulong> play) in NamedScenarios.ByName.Where(scenario => part == "all" || scenario.Key.Contains(part, StringComparison.OrdinalIgnoreCase)))
        {
            foreach (ulong seed in seeds)
            {
                try
                {
                    play(seed);
                }
                catch (Exception found) when (found is not OutOfMemoryException)
                {
                    failures++;
                    output.WriteLine($"{name}, seed {seed}: {(found is SimulationFailedException ? found.Message : found)}");
                }
            }

            output.WriteLine($"{name} played.");
        }

        return failures == 0 ? 0 : 1;
    }

    private static SimulationOptions OptionsOf(string[] arguments, TextWriter output) => new()
    {
        Lines = arguments.Contains("--trace") ? output : null,
        Keep = Option(arguments, "--keep") switch
        {
            null => null,
            "none" => [],
            { } list => [.. list.Split(',').Select(number => int.Parse(number, CultureInfo.InvariantCulture))],
        },
        LoadPercent = (int)Number(Option(arguments, "--load") ?? "100"),
        ForcesRareBranches = !arguments.Contains("--no-rare"),
    };

    private static IEnumerable<ulong> Fresh(TimeSpan time, SimulationRun run, TextWriter output)
    {
        ulong first = (ulong)Random.Shared.NextInt64(1_000_000, 1_000_000_000);
        output.WriteLine($"Fresh seeds from {first} on, for {time.TotalSeconds:0} s.");
        for (ulong seed = first; run.Elapsed < time; seed++)
        {
            yield return seed;
        }
    }

    private static IEnumerable<ulong> Range(string seeds)
    {
        string[] ends = seeds.Split("..");
        ulong last = Number(ends[^1]);
        for (ulong seed = Number(ends[0]); seed <= last; seed++)
        {
            yield return seed;
        }
    }

    private static string? Option(string[] arguments, string name)
    {
        int at = Array.IndexOf(arguments, name);
        return at >= 0 && at + 1 < arguments.Length ? arguments[at + 1] : null;
    }

    private static ulong Number(string text) => ulong.Parse(text, CultureInfo.InvariantCulture);
}

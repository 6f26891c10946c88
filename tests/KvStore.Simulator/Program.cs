using System.Globalization;
using KvStore.Simulator.Scenarios;

return SimulatorCommand.Run(args, Console.Out);

/// <summary>The command line: <c>--scenario cp|ap|wipe|cluster|all</c> with <c>--seeds A..B</c>, <c>--seconds N</c> (fresh seeds) or <c>--seed N [--trace]</c>.</summary>
internal static class SimulatorCommand
{
    private const int MaxFailures = 5;

    public static int Run(string[] arguments, TextWriter output)
    {
        string scenario = Option(arguments, "--scenario") ?? "all";
        string[] scenarios = scenario == "all" ? ["cp", "ap", "cluster"] : [scenario];
        if (!scenarios.All(name => name is "cp" or "ap" or "wipe" or "cluster"))
        {
            output.WriteLine($"There is no scenario '{scenario}': choose cp, ap, wipe, cluster or all (cp, ap and cluster).");
            return 2;
        }

        if (Option(arguments, "--seed") is { } single)
        {
            return PlayOne(scenarios, Number(single), arguments.Contains("--trace"), output);
        }

        var run = new SimulationRun();
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

    private static int PlayOne(string[] scenarios, ulong seed, bool trace, TextWriter output)
    {
        int code = 0;
        foreach (string name in scenarios)
        {
            SimulationReport report = Simulation.Run(Enum.Parse<ScenarioKind>(name, ignoreCase: true), seed, trace ? output : null);
            output.WriteLine($"Scenario {name}, seed {seed}: {report.Settings}; {report.Operations} operations, trace {report.TraceHash:x16}: {report.Failure ?? "all held"}");
            code |= report.Failure is null ? 0 : 1;
        }

        return code;
    }

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

using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary><c>--planted all|NAME</c>: hunts for planted bugs and prints a table.</summary>
internal static class PlantedCommand
{
    public static int Run(string name, IReadOnlyList<ulong> seeds, bool trace, TextWriter output)
    {
        if (name != "all" && !PlantedBugs.Names.Contains(name))
        {
            output.WriteLine($"There is no planted bug '{name}'. Choose all, or one of: {string.Join(", ", PlantedBugs.Names)}.");
            return 2;
        }

        if (trace)
        {
            SimulationReport report = PlantedRun.Play(name, seeds[0], output);
            output.WriteLine($"{name}, seed {seeds[0]}: {report.Settings}: {report.Failure ?? "not found"}");
            return report.Failure is null ? 1 : 0;
        }

        output.WriteLine("| planted bug | seed | found by | expected | tried | seconds |");
        output.WriteLine("|---|---|---|---|---|---|");
        bool all = true;
        foreach (string each in name == "all" ? PlantedBugs.Names : [name])
        {
            PlantedFinding finding = PlantedRun.Hunt(each, seeds);
            all &= finding.Seed is not null;
            output.WriteLine(
                $"| {each} | {finding.Seed?.ToString() ?? "none"} | {finding.Checker ?? "NOT FOUND"} | {PlantedBugs.Make(each).ExpectedBy} | {finding.Tried} | {finding.Time.TotalSeconds:0.0} |");
            if (name != "all")
            {
                output.WriteLine();
                output.WriteLine($"{PlantedBugs.Make(each).StandsFor}");
                output.WriteLine(finding.Message);
            }
        }

        return all ? 0 : 1;
    }
}

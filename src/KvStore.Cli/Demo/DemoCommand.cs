using System.CommandLine;
using KvStore.Cli.Running;
using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary><c>kv demo</c>: a narrated failure, ended by a check of the recorded history.</summary>
internal static class DemoCommand
{
    private const string Examples =
        """
        kv demo --scenario split-brain
        kv demo --scenario adaptive
        kv demo --scenario switch
        kv demo --scenario split-brain --no-tui --history run.jsonl && kv history check run.jsonl
        """;

    public static Command Create(CommandHost host)
    {
        var scenario = new Option<string>("--scenario")
        {
            Description = "split-brain: the network splits in two and heals. adaptive: a minority serves provisionally and is merged. switch: a keyspace in use goes from cp to ap and back, twice, with a replica cut off.",
            DefaultValueFactory = _ => "split-brain",
        };
        scenario.AcceptOnlyFromAmong("split-brain", "adaptive", "switch");
        var nodes = new Option<int>("--nodes")
        {
            Description = "How many nodes, 3 to 7. Default: 3; adaptive: 5.",
            HelpName = "N",
            CustomParser = result => Quantities.ParseCount(result, 3, 7),
        };
        var plain = new Option<bool>("--no-tui") { Description = "Plain lines, no colours." };
        var history = new Option<string?>("--history") { Description = "Also write the recorded history of the cp or adaptive keyspace to a file.", HelpName = "FILE" };
        var command = new Command("demo", "Watch a cluster survive. Real nodes, a real broken network; exit code 0 only if all promises held.") { scenario, nodes, plain, history };
        return host.Add(command, Examples, context => RunAsync(context, context.Value(scenario)!, context.Value(nodes), context.Value(plain), context.Value(history)));
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, string name, int nodes, bool plain, string? historyFile)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new CliFailure(ExitCode.Failed, "'kv demo' runs on Linux and macOS; on Windows use WSL.");
        }

        var adaptive = name == "adaptive";
        nodes = nodes > 0 ? nodes : adaptive ? 5 : 3;
        var narrator = new Narrator(context.Terminal, plain);
        var directory = Directory.CreateTempSubdirectory("kv-demo-").FullName;
        var holds = false;
        try
        {
            narrator.Step($"A cluster of {nodes} nodes");
            var begin = TimeProvider.System.GetTimestamp();
            await using var cluster = await DemoCluster.StartAsync(context, directory, nodes);
            narrator.Good($"up after {Quantities.Describe(TimeSpan.FromMilliseconds(Math.Round(TimeProvider.System.GetElapsedTime(begin).TotalMilliseconds)))}");
            IScenario scenario = name switch
            {
                "adaptive" => new AdaptiveScenario(cluster, narrator, context.Stop),
                "switch" => new SwitchScenario(cluster, narrator, context.Stop),
                _ => new SplitBrainScenario(cluster, narrator, context.Stop),
            };
            holds = await scenario.RunAsync();
            if (historyFile is not null)
            {
                HistoryFile.Write(historyFile, scenario.History);
            }

            return holds ? ExitCode.Ok : ExitCode.Failed;
        }
        finally
        {
            if (holds)
            {
                Directory.Delete(directory, recursive: true);
            }
            else
            {
                context.Note($"The nodes' data and logs are kept in {directory}.");
            }
        }
    }
}

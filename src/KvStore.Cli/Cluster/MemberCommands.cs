using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Cluster;

/// <summary><c>kv member</c>: the nodes that make up the cluster. Which ids there are is settled when the cluster is founded; the node under an id can be replaced by another one.</summary>
internal static class MemberCommands
{
    private const string ListExamples =
        """
        kv member list
        kv member list -o raw        tab-separated: node, address, generation, weight, state, replicas, leads
        """;

    private const string ReplaceExamples =
        """
        kv member replace 3
        kv node --node-id 3 --generation 1 --data ./fresh ...     then start the newcomer
        """;

    public static Command Create(CommandHost host) => new("member", "Look at the nodes that make up the cluster, and replace one whose data is lost.")
    {
        CreateList(host),
        CreateReplace(host, "replace"),
    };

    /// <summary>The same under two names: <c>kv member replace</c>, and <c>kv cluster replace-node</c>, which came first.</summary>
    public static Command CreateReplace(CommandHost host, string name)
    {
        var node = new Argument<int>("NODE") { Description = "The id of the node whose data is lost.", CustomParser = result => Quantities.ParseCount(result, 1, ushort.MaxValue) };
        var command = new Command(name, "Put a new node in the place of one whose data is lost, under the same id. Refused while that node is up. Exit code 2: there is no such member.") { node };
        return host.Add(command, ReplaceExamples, async context =>
        {
            var members = (await context.Client.GetTopologyAsync(context.Stop)).Members;
            if (members.All(member => member.Node != context.Value(node)))
            {
                throw new CliFailure(ExitCode.NotFound, $"Node {context.Value(node)} is no member of the cluster; members are {string.Join(", ", members.Select(member => member.Node).Order())}.");
            }

            var answer = await context.Client.Admin.ReplaceNodeAsync((uint)context.Value(node), context.StopChanging);
            context.Line(string.Create(
                CultureInfo.InvariantCulture,
                $"Node {context.Value(node)} is generation {answer.Generation} now. Start it with an empty data directory and --generation {answer.Generation}; {answer.Shards} shards will copy to it. What only the lost node had is gone."));
            return ExitCode.Ok;
        });
    }

    private static Command CreateList(CommandHost host)
    {
        var format = OutputFormatOption.Create();
        var command = new Command("list", "Show all members, and whether each answers.") { format };
        return host.Add(command, ListExamples, async context =>
        {
            var nodes = await NodeReport.AskAllAsync(context, replicas: false);
            var topology = await context.Client.GetTopologyAsync(context.Stop);
            Show(context, context.Value(format), [.. topology.Members.OrderBy(member => member.Node).Select(member => (member, nodes.FirstOrDefault(node => node.Node == member.Node)))]);
            return ExitCode.Ok;
        });
    }

    private static void Show(CommandContext context, OutputFormat format, IReadOnlyList<(KvMember Member, NodeReport? Report)> members)
    {
        if (format == OutputFormat.Json)
        {
            WriteJson(context, members);
            return;
        }

        var table = new TextTable("node", "address", "generation", "weight", "state", "replicas", "leads");
        foreach (var (member, report) in members)
        {
            table.Add(
                member.Node.ToString(CultureInfo.InvariantCulture),
                member.Address,
                member.Generation.ToString(CultureInfo.InvariantCulture),
                member.Weight.ToString("0.##", CultureInfo.InvariantCulture),
                report?.Status is null ? "no answer" : "up",
                report?.Status?.ReplicaCount.ToString(CultureInfo.InvariantCulture) ?? "-",
                report?.Status?.LedCount.ToString(CultureInfo.InvariantCulture) ?? "-");
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }
    }

    private static void WriteJson(CommandContext context, IReadOnlyList<(KvMember Member, NodeReport? Report)> members) => JsonOutput.Write(context.Terminal.Out, json =>
    {
        json.WriteStartArray();
        foreach (var (member, report) in members)
        {
            json.WriteStartObject();
            json.WriteNumber("node", member.Node);
            json.WriteString("address", member.Address);
            json.WriteNumber("generation", member.Generation);
            json.WriteNumber("weight", member.Weight);
            json.WriteBoolean("answers", report?.Status is not null);
            if (report?.Status is { } status)
            {
                json.WriteNumber("replicas", status.ReplicaCount);
                json.WriteNumber("leads", status.LedCount);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    });
}

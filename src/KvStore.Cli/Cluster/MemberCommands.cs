using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Cluster;

/// <summary><c>kv member</c>: the nodes that make up the cluster. It grows and shrinks by ids that are used once; the node under an id can be replaced by another one.</summary>
internal static class MemberCommands
{
    private const string ListExamples =
        """
        kv member list
        kv member list -o raw        tab-separated: node, address, generation, weight, state, replicas, leads, membership, shards
        """;

    private const string AddExamples =
        """
        kv member add 4=10.0.0.4:7001
        kv node --cluster shop --node-id 4 --join 10.0.0.1:7001 --data /var/lib/kvstore --listen 0.0.0.0:7001     then start it
        """;

    private const string RemoveExamples =
        """
        kv member remove 4
        kv member remove 4 --wait        until it is gone, or as long as --timeout says
        """;

    private const string ReplaceExamples =
        """
        kv member replace 3
        kv node --node-id 3 --generation 1 --data ./fresh ...     then start the newcomer
        """;

    public static Command Create(CommandHost host) => new("member", "Look at the nodes that make up the cluster; add one, remove one, or replace one whose data is lost.")
    {
        CreateList(host),
        CreateAdd(host),
        CreateRemove(host),
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

    private static Command CreateAdd(CommandHost host)
    {
        var member = new Argument<(int Node, string Address)>("ID=HOST:PORT") { Description = "An id that no member ever had, and where clients and members will reach the node.", CustomParser = ParseMember };
        var weight = new Option<double>("--weight") { Description = "Its share of the shards, relative to others.", DefaultValueFactory = _ => 1 };
        var command = new Command("add", "Take a new node into the cluster. Start it afterwards with --join; it then gets its share of the shards by itself.") { member, weight };
        return host.Add(command, AddExamples, async context =>
        {
            var (node, address) = context.Value(member);
            if (!(context.Value(weight) > 0))
            {
                throw new CliFailure(ExitCode.Usage, "The weight must be more than 0.");
            }

            var answer = await context.Client.Admin.AddMemberAsync((uint)node, address, context.Value(weight), context.Stop);
            var topology = await context.Client.GetTopologyAsync(context.Stop);
            var known = topology.Members.FirstOrDefault(each => each.Node != node)?.Address ?? "HOST:PORT";
            context.Line(string.Create(
                CultureInfo.InvariantCulture,
                $"Node {node} at {address} {(answer.Added ? "is a member now" : "was added before")} and joins. Start it with an empty data directory: kv node --cluster {topology.ClusterId} --node-id {node} --join {known} ... It gets its share of the shards by itself; 'kv member list' shows when."));
            return ExitCode.Ok;
        });
    }

    private static Command CreateRemove(CommandHost host)
    {
        var node = new Argument<int>("NODE") { Description = "The id of the member that is to go, up or down.", CustomParser = result => Quantities.ParseCount(result, 1, ushort.MaxValue) };
        var force = new Option<bool>("--force") { Description = "Also if keyspaces are left with fewer replicas than they have now." };
        var wait = new Option<bool>("--wait") { Description = "Wait until it is gone: its shards have moved, and it is a member no more." };
        var command = new Command("remove", "Let a member go: its shards move to others, then its id is gone for good. Exit code 2: there is no such member.") { node, force, wait };
        return host.Add(command, RemoveExamples, async context =>
        {
            var id = (uint)context.Value(node);
            var answer = await RemoveAsync(context, id, context.Value(force));
            if (answer.Gone)
            {
                context.Line($"Node {id} is gone already.");
                return ExitCode.Ok;
            }

            context.Line(string.Create(CultureInfo.InvariantCulture, $"Node {id} {(answer.Removing ? "leaves" : "is leaving already")}: {answer.Shards} shards move to other members. Leave it running until 'kv member list' doesn't show it any more."));
            if (context.Value(wait))
            {
                await GoneAsync(context, id);
                context.Line($"Node {id} is gone: its process ends by itself, and its id is never used again. Delete its data directory.");
            }

            return ExitCode.Ok;
        });
    }

    private static async Task<RemoveMemberResponse> RemoveAsync(CommandContext context, uint node, bool force)
    {
        try
        {
            return await context.Client.Admin.RemoveMemberAsync(node, force, context.Stop);
        }
        catch (KvException refused) when (refused.Code == KvCode.UnknownKeyspace)
        {
            var members = (await context.Client.GetTopologyAsync(context.Stop)).Members;
            throw new CliFailure(ExitCode.NotFound, $"Node {node} is no member of the cluster; members are {string.Join(", ", members.Select(member => member.Node).Order())}.");
        }
    }

    private static async Task GoneAsync(CommandContext context, uint node)
    {
        var begin = TimeProvider.System.GetTimestamp();
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        while ((await context.Client.Admin.GetTopologyAsync(context.Stop)).Members.Any(member => member.Node == node))
        {
            if (context.TimeoutWasGiven && TimeProvider.System.GetElapsedTime(begin) > context.Timeout)
            {
                throw new CliFailure(ExitCode.Unknown, $"Node {node} is still leaving; it goes on by itself, and 'kv member list' shows how far it is.");
            }

            await look.WaitForNextTickAsync(context.Stop);
        }
    }

    private static (int Node, string Address) ParseMember(ArgumentResult result)
    {
        var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        var equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals > 0 && int.TryParse(text.AsSpan(0, equals), NumberStyles.None, CultureInfo.InvariantCulture, out var node) && node is > 0 and <= ushort.MaxValue && KvStore.Node.Hosting.NodeOptionsValidation.IsAddress(text[(equals + 1)..]))
        {
            return (node, text[(equals + 1)..]);
        }

        result.AddError($"'{text}' is no member: give ID=HOST:PORT, such as 4=10.0.0.4:7001.");
        return default;
    }

    private static Command CreateList(CommandHost host)
    {
        var format = OutputFormatOption.Create();
        var command = new Command("list", "Show all members, and whether each answers.") { format };
        return host.Add(command, ListExamples, async context =>
        {
            var nodes = await NodeReport.AskAllAsync(context, replicas: false);
            var topology = await context.Client.GetTopologyAsync(context.Stop);
            Show(context, context.Value(format), topology, [.. topology.Members.OrderBy(member => member.Node).Select(member => (member, nodes.FirstOrDefault(node => node.Node == member.Node)))]);
            return ExitCode.Ok;
        });
    }

    private static void Show(CommandContext context, OutputFormat format, KvTopology topology, IReadOnlyList<(KvMember Member, NodeReport? Report)> members)
    {
        if (format == OutputFormat.Json)
        {
            WriteJson(context, topology, members);
            return;
        }

        var table = new TextTable("node", "address", "generation", "weight", "state", "replicas", "leads", "membership", "shards");
        foreach (var (member, report) in members)
        {
            table.Add(
                member.Node.ToString(CultureInfo.InvariantCulture),
                member.Address,
                member.Generation.ToString(CultureInfo.InvariantCulture),
                member.Weight.ToString("0.##", CultureInfo.InvariantCulture),
                report?.Status is null ? "no answer" : "up",
                report?.Status?.ReplicaCount.ToString(CultureInfo.InvariantCulture) ?? "-",
                report?.Status?.LedCount.ToString(CultureInfo.InvariantCulture) ?? "-",
                member.State.ToString().ToLowerInvariant(),
                ShardsOn(topology, member.Node).ToString(CultureInfo.InvariantCulture));
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

    /// <summary>Shards that have a replica there, or are to have one.</summary>
    private static int ShardsOn(KvTopology topology, uint node) => topology.Keyspaces.Sum(keyspace => keyspace.Shards.Count(shard => shard.Nodes.Contains(node)));

    private static void WriteJson(CommandContext context, KvTopology topology, IReadOnlyList<(KvMember Member, NodeReport? Report)> members) => JsonOutput.Write(context.Terminal.Out, json =>
    {
        json.WriteStartArray();
        foreach (var (member, report) in members)
        {
            json.WriteStartObject();
            json.WriteNumber("node", member.Node);
            json.WriteString("address", member.Address);
            json.WriteNumber("generation", member.Generation);
            json.WriteNumber("weight", member.Weight);
            json.WriteString("membership", member.State.ToString().ToLowerInvariant());
            json.WriteNumber("shards", ShardsOn(topology, member.Node));
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

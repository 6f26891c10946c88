using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Faults;

/// <summary><c>kv fault ...</c>: breaks the network between nodes that were started with --enable-fault-injection.</summary>
internal static class FaultCommands
{
    public static Command Create(CommandHost host) => new("fault", "Break and heal the network between nodes that run with --enable-fault-injection.")
    {
        Cut(host),
        OneWay(host),
        Isolate(host),
        Heal(host),
        List(host),
    };

    private static Command Cut(CommandHost host)
    {
        var one = NodesArgument("A", "A node, or several separated by commas.");
        var other = NodesArgument("B", "The node or nodes on the other side.");
        var command = new Command("cut", "Cut all links between A and B, both ways.") { one, other };
        return host.Add(command, "kv fault cut 1 2\nkv fault cut 1 2,3        a partition: 1 | 2 3", async context =>
        {
            await ApplyAsync(context, LinkFaultPlan.Between(Nodes(context.Value(one)!), Nodes(context.Value(other)!)));
            context.Line($"Cut: {context.Value(one)} | {context.Value(other)}. Undo with: kv fault heal");
            return ExitCode.Ok;
        });
    }

    private static Command OneWay(CommandHost host)
    {
        var from = NodesArgument("A", "The node that is no longer heard.");
        var to = NodesArgument("B", "The node that no longer hears A.");
        var command = new Command("one-way", "Nothing from A reaches B any more; the way back stays open.") { from, to };
        return host.Add(command, "kv fault one-way 1 2", async context =>
        {
            await ApplyAsync(context, LinkFaultPlan.OneWay(Node(context.Value(from)!), Node(context.Value(to)!)));
            context.Line($"Cut one way: {context.Value(from)} -> {context.Value(to)}. Undo with: kv fault heal");
            return ExitCode.Ok;
        });
    }

    private static Command Isolate(CommandHost host)
    {
        var node = NodesArgument("N", "The node.");
        var command = new Command("isolate", "Cut a node off from all other nodes. Clients still reach it.") { node };
        return host.Add(command, "kv fault isolate 1", async context =>
        {
            var alone = Node(context.Value(node)!);
            var members = (await context.Client.GetTopologyAsync(context.Stop)).Members.Select(member => member.Node).ToArray();
            var others = members.Where(member => member != alone).ToArray();
            if (others.Length == members.Length)
            {
                throw UnknownNode(alone, members);
            }

            await ApplyAsync(context, LinkFaultPlan.Between([alone], others));
            context.Line($"Isolated: {alone} | {string.Join(' ', others)}. Undo with: kv fault heal");
            return ExitCode.Ok;
        });
    }

    private static Command Heal(CommandHost host)
    {
        var command = new Command("heal", "Remove all faults of all nodes.");
        return host.Add(command, "kv fault heal", async context =>
        {
            var code = ExitCode.Ok;
            foreach (var member in (await context.Client.GetTopologyAsync(context.Stop)).Members)
            {
                try
                {
                    await context.Client.Admin.HealFaultsAsync(member.Node, context.Stop);
                }
                catch (KvException exception)
                {
                    context.Complain($"Node {member.Node} was not healed: {Failures.Sentence(exception.Message)}");
                    code = Failures.CodeOf(exception);
                }
            }

            if (code == ExitCode.Ok)
            {
                context.Line("Healed: all links work again.");
            }

            return code;
        });
    }

    private static Command List(CommandHost host)
    {
        var format = OutputFormatOption.Create();
        var command = new Command("list", "List the faults of all nodes.") { format };
        return host.Add(command, "kv fault list", async context =>
        {
            var faults = new List<(uint Node, LinkFault Fault)>();
            foreach (var member in (await context.Client.GetTopologyAsync(context.Stop)).Members.OrderBy(member => member.Node))
            {
                faults.AddRange((await context.Client.Admin.ListFaultsAsync(member.Node, context.Stop)).Select(fault => (member.Node, fault)));
            }

            FaultOutput.Show(context, context.Value(format), faults);
            return ExitCode.Ok;
        });
    }

    private static async Task ApplyAsync(CommandContext context, LinkFaultPlan plan)
    {
        var members = (await context.Client.GetTopologyAsync(context.Stop)).Members.Select(member => member.Node).ToArray();
        foreach (var node in plan.Nodes)
        {
            if (!members.Contains(node))
            {
                throw UnknownNode(node, members);
            }
        }

        foreach (var node in plan.Nodes)
        {
            var present = await context.Client.Admin.ListFaultsAsync(node, context.Stop);
            await context.Client.Admin.SetFaultsAsync(node, plan.For(node, present), context.Stop);
        }
    }

    private static CliFailure UnknownNode(uint node, uint[] members) =>
        CliFailure.Usage($"The cluster has no node {node}; its nodes are {string.Join(", ", members.Order())}.");

    private static Argument<string> NodesArgument(string name, string description) => new(name) { Description = description };

    private static uint Node(string text) => Nodes(text) is [var single]
        ? single
        : throw CliFailure.Usage($"'{text}' names several nodes where one is expected.");

    private static uint[] Nodes(string text)
    {
        var nodes = text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(part => uint.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var node) && node > 0 ? node : 0).ToArray();
        return nodes.Length == 0 || nodes.Contains(0u)
            ? throw CliFailure.Usage($"'{text}' is not a node; nodes are numbers from 1, several are separated by commas.")
            : nodes;
    }
}

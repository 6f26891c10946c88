using System.CommandLine;
using System.Globalization;
using Google.Protobuf;
using KvStore.Cli.Keyspaces;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Cluster;

/// <summary><c>kv cluster status</c>: what each node says of itself and of the others.</summary>
internal static class ClusterCommands
{
    private const string Examples =
        """
        kv cluster status
        kv cluster status --replicas        also every replica: role, term, commit, lag
        kv cluster status -o json
        """;

    public static Command Create(CommandHost host)
    {
        var replicas = new Option<bool>("--replicas") { Description = "Also list every replica." };
        var format = OutputFormatOption.Create();
        var status = new Command("status", "Show all nodes: reachability, suspicion (phi), leaders, replicas. Exit code 4: a node does not answer.") { replicas, format };
        host.Add(status, Examples, async context =>
        {
            var nodes = await NodeReport.AskAllAsync(context, context.Value(replicas));
            Show(context, context.Value(format), nodes, context.Value(replicas));
            foreach (var silent in nodes.Where(node => node.Status is null))
            {
                context.Complain($"Node {silent.Node} at {silent.Address} does not answer: {silent.Silence}");
            }

            return nodes.All(node => node.Status is not null) ? ExitCode.Ok : ExitCode.Refused;
        });
        return new Command("cluster", "Look at the cluster and its nodes.") { status, MemberCommands.CreateReplace(host, "replace-node") };
    }

    private static void Show(CommandContext context, OutputFormat format, IReadOnlyList<NodeReport> nodes, bool replicas)
    {
        if (format == OutputFormat.Json)
        {
            WriteJson(context, nodes);
            return;
        }

        var summary = Summary(nodes);
        if (format == OutputFormat.Raw)
        {
            summary.WriteRaw(context.Terminal.Out);
            return;
        }

        context.Write(summary);
        var links = Links(nodes);
        if (links.Count > 0)
        {
            context.Write(links);
        }

        if (replicas)
        {
            context.Write(KeyspaceOutput.ReplicaTable(
                nodes.SelectMany(node => node.Status?.Replicas.Select(replica => new KeyspaceReplica(node.Node, replica)) ?? [])));
        }
    }

    private static TextTable Summary(IReadOnlyList<NodeReport> nodes)
    {
        var table = new TextTable("node", "address", "state", "system leader", "replicas", "leads", "uptime", "log", "fsyncs", "notes");
        foreach (var node in nodes)
        {
            if (node.Status is not { } status)
            {
                table.Add(Text(node.Node), node.Address, "no answer", "-", "-", "-", "-", "-", "-", "");
                continue;
            }

            table.Add(
                Text(node.Node),
                node.Address,
                "up",
                status.SystemLeader == 0 ? "none" : Text(status.SystemLeader),
                Text(status.ReplicaCount),
                Text(status.LedCount),
                Quantities.Describe(TimeSpan.FromSeconds(Math.Round(status.UptimeMs / 1_000.0))),
                string.Create(CultureInfo.InvariantCulture, $"{status.WalBytes / 1_048_576.0:0.0} MiB"),
                Text(status.Fsyncs),
                Notes(status));
        }

        return table;
    }

    /// <summary>Every pair of nodes, as the first of them sees the second.</summary>
    private static TextTable Links(IReadOnlyList<NodeReport> nodes)
    {
        var table = new TextTable("node", "sees", "as", "phi", "last heard", "round trip", "clock", "is heard", "losses", "on hold");
        foreach (var node in nodes)
        {
            foreach (var peer in node.Status?.Peers.OrderBy(peer => peer.Node) ?? Enumerable.Empty<PeerStatus>())
            {
                table.Add(
                    Text(node.Node),
                    Text(peer.Node),
                    peer.Reachability.ToString().ToLowerInvariant(),
                    peer.Phi.ToString("0.0", CultureInfo.InvariantCulture),
                    Text(peer.LastHeardMs) + " ms",
                    string.Create(CultureInfo.InvariantCulture, $"{peer.RoundTripMs:0.00} ms"),
                    string.Create(CultureInfo.InvariantCulture, $"{peer.ClockOffsetMs:+0;-0;0} ms"),
                    peer.HearsUs ? "yes" : "no",
                    Text(peer.Losses),
                    peer.HeldDownMs == 0 ? "-" : Text(peer.HeldDownMs) + " ms");
            }
        }

        return table;
    }

    private static string Notes(NodeStatusResponse status)
    {
        var notes = new List<string>();
        if (status.DiskLow)
        {
            notes.Add("disk low, refuses writes");
        }

        if (status.MaxClockDriftMs > 0 && Math.Abs(status.ClockOffsetMs) > status.MaxClockDriftMs)
        {
            notes.Add(string.Create(CultureInfo.InvariantCulture, $"clock {Math.Abs(status.ClockOffsetMs)} ms {(status.ClockOffsetMs > 0 ? "ahead" : "behind")}, refuses last-writer-wins puts"));
        }

        if (status.FaultInjection)
        {
            notes.Add("fault injection on");
        }

        return string.Join(", ", notes);
    }

    private static void WriteJson(CommandContext context, IReadOnlyList<NodeReport> nodes) => JsonOutput.Write(context.Terminal.Out, json =>
    {
        json.WriteStartArray();
        foreach (var node in nodes)
        {
            json.WriteStartObject();
            json.WriteNumber("node", node.Node);
            json.WriteString("address", node.Address);
            json.WriteBoolean("answers", node.Status is not null);
            if (node.Status is not null)
            {
                json.WritePropertyName("status");
                json.WriteRawValue(JsonFormatter.Default.Format(node.Status));
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    });

    private static string Text(IFormattable number) => number.ToString(null, CultureInfo.InvariantCulture);
}

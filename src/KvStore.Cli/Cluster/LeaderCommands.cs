using System.CommandLine;
using System.Globalization;
using Google.Protobuf;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Cluster;

/// <summary><c>kv leader transfer</c>: another replica of a shard shall lead.</summary>
internal static class LeaderCommands
{
    private const string Examples =
        """
        kv leader transfer orders 0 2
        kv leader transfer orders 0 2 --timeout 20s -o json
        """;

    public static Command Create(CommandHost host)
    {
        var keyspace = new Argument<string>("KEYSPACE") { Description = "The keyspace." };
        var shard = new Argument<int>("SHARD") { Description = "The number of the shard, from 0.", CustomParser = result => Quantities.ParseCount(result, 0, KvLimits.MaxShards - 1) };
        var node = new Argument<int>("NODE") { Description = "The node that shall lead; it needs a replica of the shard.", CustomParser = result => Quantities.ParseCount(result, 1, ushort.MaxValue) };
        var format = OutputFormatOption.Create();
        var transfer = new Command("transfer", "Hand the leadership of a shard to another node, and wait until it leads. Exit code 2: there is no keyspace of this name; 4: not done, and why; 5: it was begun and may yet happen.")
        {
            keyspace, shard, node, format,
        };
        host.Add(transfer, Examples, async context =>
        {
            try
            {
                return await TransferAsync(context, context.Value(keyspace)!, context.Value(shard), (uint)context.Value(node), context.Value(format));
            }
            catch (KvException exception) when (exception.Code == KvCode.UnknownKeyspace)
            {
                throw new CliFailure(ExitCode.NotFound, $"There is no keyspace '{context.Value(keyspace)}'; 'kv keyspace list' shows those that exist.");
            }
        });
        return new Command("leader", "Say who leads a shard.") { transfer };
    }

    private static async Task<ExitCode> TransferAsync(CommandContext context, string keyspace, int shard, uint node, OutputFormat format)
    {
        var answer = await context.Client.Admin.TransferLeaderAsync(keyspace, shard, node, context.StopChanging);
        Show(context, format, keyspace, shard, answer);
        if (answer.Outcome != Outcome.Done)
        {
            context.Complain(Failures.Sentence($"{(answer.Outcome == Outcome.NotDone ? "Not done" : "The outcome is unknown")} ({answer.Code}): {answer.Reason}"));
        }
        else if (answer.Regime == Regime.Open)
        {
            context.Note("note: the shard is open (ap): its leader decides on changes of members and regime only, reads and writes don't go through it.");
        }

        return answer.Outcome switch
        {
            Outcome.Done => ExitCode.Ok,
            Outcome.NotDone => ExitCode.Refused,
            _ => ExitCode.Unknown,
        };
    }

    private static void Show(CommandContext context, OutputFormat format, string keyspace, int shard, TransferLeaderResponse answer)
    {
        if (format == OutputFormat.Json)
        {
            context.Line(JsonFormatter.Default.Format(answer));
            return;
        }

        var table = new TextTable("keyspace", "shard", "outcome", "leader", "term", "regime");
        table.Add(
            keyspace,
            shard.ToString(CultureInfo.InvariantCulture),
            answer.Outcome == Outcome.Done ? "done" : answer.Outcome == Outcome.NotDone ? "not done" : "unknown",
            answer.Leader == 0 ? "-" : answer.Leader.ToString(CultureInfo.InvariantCulture),
            answer.Term == 0 ? "-" : answer.Term.ToString(CultureInfo.InvariantCulture),
            answer.Regime == Regime.Unspecified ? "-" : answer.Regime.ToString().ToLowerInvariant());
        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }
    }
}

using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary><c>kv watch</c>.</summary>
internal static class WatchCommand
{
    private const string Examples =
        """
        kv watch -k orders order/17                      one key, until Ctrl+C
        kv watch -k orders --prefix order/ --initial     what is there, then what changes
        kv watch -k orders --all -o json | jq .key       one JSON document a line
        kv watch -k orders --all --from-token TOKEN      go on where an earlier watch was
        """;

    private static readonly JsonWriterOptions OneLine = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Create(CommandHost host)
    {
        var key = new Argument<string?>("KEY") { Description = "The key to watch.", Arity = ArgumentArity.ZeroOrOne };
        var keyspace = DataOptions.Keyspace();
        var prefix = new Option<string?>("--prefix") { Description = "All keys that begin with this.", HelpName = "TEXT" };
        var all = new Option<bool>("--all") { Description = "All keys." };
        var token = new Option<string?>("--from-token") { Description = "Go on where an earlier watch was: the token that it printed when it ended.", HelpName = "TOKEN" };
        var initial = new Option<bool>("--initial") { Description = "Begin with what the keys hold." };
        var limit = new Option<int>("--limit")
        {
            Description = "End after so many changes; 0: never.",
            HelpName = "N",
            CustomParser = result => Quantities.ParseCount(result, 0, 1_000_000_000),
        };
        var format = OutputFormatOption.Create();
        var command = new Command("watch", "Show changes as they happen. Ends on Ctrl+C, and says on stderr where to go on.") { key, keyspace, prefix, all, token, initial, limit, format };
        return host.Add(command, Examples, async context =>
        {
            DataOptions.AtMostOne(context, prefix, all);
            var one = context.Value(key);
            if ((one is null ? 0 : 1) + (context.Value(prefix) is null ? 0 : 1) + (context.Value(all) ? 1 : 0) != 1)
            {
                throw CliFailure.Usage("Say what to watch: a KEY, --prefix TEXT or --all.");
            }

            var space = DataOptions.KeyspaceOf(context, keyspace);
            var options = new KvWatchOptions { FromToken = context.Value(token), InitialValues = context.Value(initial), TellProgress = true };
            var changes = Open(space, one, context.Value(prefix), options, context.Stop);
            return await ShowAsync(context, context.Value(format), context.Value(limit), changes);
        });
    }

    private static IAsyncEnumerable<KvChange<ReadOnlyMemory<byte>>> Open(IKvKeyspace space, string? key, string? prefix, KvWatchOptions options, CancellationToken stop)
    {
        try
        {
            return key is not null
                ? space.WatchAsync<ReadOnlyMemory<byte>>(DataOptions.Key(key), options, stop)
                : space.WatchAsync<ReadOnlyMemory<byte>>(ScanCommand.Range(prefix, null), options, stop);
        }
        catch (ArgumentException exception)
        {
            throw CliFailure.Usage(Failures.Sentence(exception.Message));
        }
    }

    private static async Task<ExitCode> ShowAsync(CommandContext context, OutputFormat format, int limit, IAsyncEnumerable<KvChange<ReadOnlyMemory<byte>>> changes)
    {
        string? token = null;
        int shown = 0;
        ExitCode code = ExitCode.Ok;
        try
        {
            await foreach (var change in changes)
            {
                token = change.Token ?? token;
                if (change.Kind == KvChangeKind.Progress)
                {
                    continue;
                }

                Show(context, format, change);
                if (change.Kind == KvChangeKind.Gap)
                {
                    context.Note("note: changes may be missing before this point; read the range again ('kv scan').");
                }
                else if (change.Kind == KvChangeKind.Ended)
                {
                    context.Complain(change.Reason);
                    code = ExitCode.Refused;
                }

                if (limit > 0 && ++shown >= limit)
                {
                    break;
                }
            }
        }
        catch (ArgumentException exception)
        {
            throw CliFailure.Usage(Failures.Sentence(exception.Message));
        }
        catch (OperationCanceledException) when (context.Stop.IsCancellationRequested)
        {
            // Ctrl+C is how a watch ends.
        }

        if (token is not null)
        {
            context.Note($"go on with --from-token {token}");
        }

        return code;
    }

    private static void Show(CommandContext context, OutputFormat format, KvChange<ReadOnlyMemory<byte>> change)
    {
        string key = change.Key == default ? "" : format == OutputFormat.Raw ? change.Key.ToString() : ByteText.ForPeople(change.Key.Bytes.Span);
        switch (format)
        {
            case OutputFormat.Json:
                context.Line(Json(change));
                break;
            case OutputFormat.Raw:
                context.Line($"{NameOf(change.Kind)}\t{key}\t{Encoding.UTF8.GetString(change.Value.Span)}");
                break;
            default:
                string values = change.Siblings.Count > 1 ? string.Join(" | ", change.Siblings.Select(sibling => ByteText.ForPeople(sibling.Value.Span))) : ByteText.ForPeople(change.Value.Span);
                context.Line(string.Create(CultureInfo.InvariantCulture, $"{NameOf(change.Kind),-9} {key}{(HasValue(change) ? "  " + values : "")}").TrimEnd());
                break;
        }

        context.Terminal.Out.Flush();
    }

    private static string Json(KvChange<ReadOnlyMemory<byte>> change)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, OneLine))
        {
            json.WriteStartObject();
            json.WriteString("kind", NameOf(change.Kind));
            if (change.Key != default)
            {
                ByteText.WriteJson(json, "key", change.Key.Bytes.Span);
            }

            if (HasValue(change))
            {
                ByteText.WriteJson(json, "value", change.Value.Span);
                json.WriteString("version", change.Version.ToString());
                json.WriteString("timestamp", change.Timestamp!.Value);
                json.WriteStartArray("siblings");
                foreach (var sibling in change.Siblings)
                {
                    json.WriteStartObject();
                    ByteText.WriteJson(json, "value", sibling.Value.Span);
                    json.WriteString("timestamp", sibling.Timestamp);
                    json.WriteString("writer", sibling.Writer);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            }

            json.WriteString("regime", ReadOutput.Name(change.Regime));
            json.WriteNumber("epoch", change.Epoch);
            json.WriteNumber("shard", change.Shard);
            json.WriteNumber("node", change.Node);
            if (change.ExpiresIn is { } expiresIn)
            {
                json.WriteNumber("expiresInMs", (long)expiresIn.TotalMilliseconds);
            }

            if (change.Reason.Length > 0)
            {
                json.WriteString("reason", change.Reason);
            }

            if (change.Token is { } token)
            {
                json.WriteString("token", token);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
    }

    private static bool HasValue(KvChange<ReadOnlyMemory<byte>> change) => change.Kind is KvChangeKind.Put or KvChangeKind.Current;

    private static string NameOf(KvChangeKind kind) => kind == KvChangeKind.CaughtUp ? "caught-up" : kind.ToString().ToLowerInvariant();
}

using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary><c>kv incr</c>.</summary>
internal static class IncrementCommand
{
    private const string Examples =
        """
        kv incr visits -k hits
        kv incr stock --by -3 -k shop
        kv incr calls/alice -k limits --ttl 1m          a counter that this creates is gone a minute later
        """;

    public static Command Create(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var keyspace = DataOptions.Keyspace();
        var by = new Option<long>("--by")
        {
            Description = "What to add; may be negative. Default: 1.",
            HelpName = "N",
            DefaultValueFactory = _ => 1,
            CustomParser = result =>
            {
                var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
                if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
                {
                    result.AddError($"'{text}' is not a whole number of 64 bits.");
                }

                return number;
            },
        };
        var ttl = DataOptions.Ttl("How long a counter that this creates lives: 1ms to 3650d, or never. One that exists keeps its time.");
        var format = OutputFormatOption.Create();
        var command = new Command("incr", "Add to a counter and show what it is then. Exit code 5: nobody knows whether it was counted.") { key, keyspace, by, ttl, format };
        return host.Add(command, Examples, async context =>
        {
            var named = DataOptions.Key(context.Value(key));
            var options = context.WasGiven(ttl) ? new KvWriteOptions { Ttl = context.Value(ttl) } : null;
            var counter = await DataOptions.KeyspaceOf(context, keyspace).IncrementAsync(named, context.Value(by), options, context.StopChanging);
            Show(context, context.Value(format), named, counter);
            return ExitCode.Ok;
        });
    }

    private static void Show(CommandContext context, OutputFormat format, KvKey key, long counter)
    {
        if (format != OutputFormat.Json)
        {
            context.Line(counter.ToString(CultureInfo.InvariantCulture));
            return;
        }

        JsonOutput.Write(context.Terminal.Out, json =>
        {
            json.WriteStartObject();
            ByteText.WriteJson(json, "key", key.Bytes.Span);
            json.WriteNumber("counter", counter);
            json.WriteEndObject();
        });
    }
}

using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary><c>kv cas</c>: compare and set.</summary>
internal static class CasCommand
{
    private const string Examples =
        """
        kv cas balance 0a1b2c 90 -k accounts            only if the version is still 0a1b2c
        kv cas balance absent 100 -k accounts           only if there is no value
        """;

    public static Command Create(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var expected = new Argument<string>("EXPECTED-VERSION") { Description = "The version that the key must have, or 'absent'." };
        var value = new ValueSource();
        var keyspace = DataOptions.Keyspace();
        var format = OutputFormatOption.Create();
        var command = new Command("cas", "Write a value only if the key's version is the expected one (cp). Exit code 3: it is not.")
        {
            key, expected, value.Value, value.File, keyspace, format,
        };
        return host.Add(command, Examples, async context =>
        {
            var named = DataOptions.Key(context.Value(key));
            var text = context.Value(expected)!;
            var version = text == "absent" ? KvVersion.Absent : DataOptions.Version(text, "EXPECTED-VERSION");
            var bytes = await value.ReadAsync(context);
            var result = await DataOptions.KeyspaceOf(context, keyspace).TryPutAsync(named, bytes, version, null, context.StopChanging);
            return WriteResultOutput.Show(context, context.Value(format), named, result);
        });
    }
}

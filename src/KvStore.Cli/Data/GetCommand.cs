using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary><c>kv get</c>.</summary>
internal static class GetCommand
{
    private const string Examples =
        """
        kv get hello -k orders
        kv get hello -k orders -o json                  version, siblings, regime, staleness
        kv get photo -k files -o raw > photo.jpg        the bytes as they are
        kv get cart -k carts --level quorum
        """;

    public static Command Create(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var keyspace = DataOptions.Keyspace();
        var level = DataOptions.Level();
        var require = DataOptions.Require();
        var format = OutputFormatOption.Create();
        var command = new Command("get", "Read the value of a key. Exit code 2: it has none.") { key, keyspace, level, require, format };
        return host.Add(command, Examples, async context =>
        {
            var named = DataOptions.Key(context.Value(key));
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var entry = await space.GetAsync<ReadOnlyMemory<byte>>(named, new KvReadOptions { Level = context.Value(level), RequireStrong = context.Value(require) is not null }, context.Stop);
            if (entry is null)
            {
                throw new CliFailure(ExitCode.NotFound, $"'{ByteText.ForPeople(named.Bytes.Span)}' has no value in keyspace {space.Name}.");
            }

            await ReadOutput.ShowAsync(context, context.Value(format), entry);
            return ExitCode.Ok;
        });
    }
}

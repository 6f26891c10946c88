using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;

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
        kv get cart -k carts --level session --session TOKEN      what 'kv put --session' has written, on any node
        kv get cart -k carts --level bounded --max-staleness 2s
        """;

    public static Command Create(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var keyspace = DataOptions.Keyspace();
        var level = DataOptions.Level();
        var require = DataOptions.Require();
        var session = SessionOptions.Session();
        var maxStaleness = SessionOptions.MaxStaleness();
        var format = OutputFormatOption.Create();
        var command = new Command("get", "Read the value of a key. Exit code 2: it has none.") { key, keyspace, level, session, maxStaleness, require, format };
        return host.Add(command, Examples, async context =>
        {
            var named = DataOptions.Key(context.Value(key));
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var opened = SessionOptions.Open(context, session);
            var options = SessionOptions.Read(context, context.Value(level), opened, maxStaleness) with { RequireStrong = context.Value(require) is not null };
            var entry = await space.GetAsync<ReadOnlyMemory<byte>>(named, options, context.Stop);
            SessionOptions.Tell(context, opened);
            if (entry is null)
            {
                throw new CliFailure(ExitCode.NotFound, $"'{ByteText.ForPeople(named.Bytes.Span)}' has no value in keyspace {space.Name}.");
            }

            await ReadOutput.ShowAsync(context, context.Value(format), entry);
            return ExitCode.Ok;
        });
    }
}

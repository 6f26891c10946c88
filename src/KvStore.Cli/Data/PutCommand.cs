using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary><c>kv put</c>.</summary>
internal static class PutCommand
{
    private const string Examples =
        """
        kv put hello world -k orders
        kv put photo --file photo.jpg -k files
        date | kv put now - -k orders
        kv put lock me -k orders --if-absent            exit code 3: somebody else has it
        kv put cart "tea, milk" -k carts --context 0a1b2c
        kv put session/17 alice -k web --ttl 30m        gone half an hour later
        kv put cart tea -k carts --session new          shows the token to read it with on any node
        """;

    public static Command Create(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var value = new ValueSource();
        var keyspace = DataOptions.Keyspace();
        var ifVersion = DataOptions.IfVersion();
        var ifAbsent = new Option<bool>("--if-absent") { Description = "Only if the key has no value (cp)." };
        var inContext = DataOptions.Context();
        var require = DataOptions.Require();
        var session = SessionOptions.Session();
        var ttl = DataOptions.Ttl("How long the value lives: 1ms to 3650d, or never. Default: the keyspace's; a put without one over a value that would expire makes it last.");
        var format = OutputFormatOption.Create();
        var command = new Command("put", "Write a value. Exit code 3: the condition did not hold; 5: nobody knows whether it happened.")
        {
            key, value.Value, value.File, keyspace, ifVersion, ifAbsent, inContext, ttl, session, require, format,
        };
        return host.Add(command, Examples, async context =>
        {
            DataOptions.AtMostOne(context, ifVersion, ifAbsent, inContext);
            var named = DataOptions.Key(context.Value(key));
            var condition = Condition(context, ifVersion, inContext);
            var bytes = await value.ReadAsync(context);
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var opened = SessionOptions.Open(context, session);
            var options = new KvWriteOptions { Session = opened, Ttl = context.WasGiven(ttl) ? context.Value(ttl) : null, RequireStrong = context.Value(require) is not null };
            var result = await WriteAsync(context, space, named, bytes, context.Value(ifAbsent), context.WasGiven(inContext), condition, options);
            SessionOptions.Tell(context, opened);
            return WriteResultOutput.Show(context, context.Value(format), named, result);
        });
    }

    private static KvVersion? Condition(CommandContext context, Option<string?> ifVersion, Option<string?> inContext)
    {
        if (context.Value(ifVersion) is { } version)
        {
            return DataOptions.Version(version, "--if-version");
        }

        return context.Value(inContext) is { } seen ? DataOptions.Version(seen, "--context") : null;
    }

    private static ValueTask<KvWriteResult> WriteAsync(
        CommandContext context, IKvKeyspace space, KvKey key, ReadOnlyMemory<byte> value, bool ifAbsent, bool inContext, KvVersion? version, KvWriteOptions options)
    {
        if (ifAbsent)
        {
            return space.TryPutAsync(key, value, KvVersion.Absent, options, context.StopChanging);
        }

        if (version is null)
        {
            return space.PutAsync(key, value, options, context.StopChanging);
        }

        return inContext
            ? space.PutInContextAsync(key, value, version.Value, options, context.StopChanging)
            : space.TryPutAsync(key, value, version.Value, options, context.StopChanging);
    }
}

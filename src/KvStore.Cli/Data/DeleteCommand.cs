using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary><c>kv del</c>.</summary>
internal static class DeleteCommand
{
    private const string Examples =
        """
        kv del hello -k orders
        kv del hello -k orders --if-version 0a1b2c
        kv del cart -k carts --context 0a1b2c           concurrent values that this version did not see survive
        """;

    public static Command Create(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var keyspace = DataOptions.Keyspace();
        var ifVersion = DataOptions.IfVersion();
        var inContext = DataOptions.Context();
        var require = DataOptions.Require();
        var session = SessionOptions.Session();
        var format = OutputFormatOption.Create();
        var command = new Command("del", "Remove the value of a key; done also when it has none.") { key, keyspace, ifVersion, inContext, session, require, format };
        return host.Add(command, Examples, async context =>
        {
            DataOptions.AtMostOne(context, ifVersion, inContext);
            var named = DataOptions.Key(context.Value(key));
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var opened = SessionOptions.Open(context, session);
            var options = new KvWriteOptions { Session = opened, RequireStrong = context.Value(require) is not null };
            var deletion = (context.Value(ifVersion), context.Value(inContext)) switch
            {
                ({ } version, _) => space.TryDeleteAsync(named, DataOptions.Version(version, "--if-version"), options, context.StopChanging),
                (_, { } seen) => space.DeleteInContextAsync(named, DataOptions.Version(seen, "--context"), options, context.StopChanging),
                _ => space.DeleteAsync(named, options, context.StopChanging),
            };
            var result = await deletion;
            SessionOptions.Tell(context, opened);
            return WriteResultOutput.Show(context, context.Value(format), named, result);
        });
    }
}

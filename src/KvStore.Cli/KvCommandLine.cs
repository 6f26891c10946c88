using System.CommandLine;
using KvStore.Cli.Bench;
using KvStore.Cli.Bulk;
using KvStore.Cli.Cluster;
using KvStore.Cli.Contexts;
using KvStore.Cli.Data;
using KvStore.Cli.Demo;
using KvStore.Cli.Faults;
using KvStore.Cli.Histories;
using KvStore.Cli.Keyspaces;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Resolution;
using KvStore.Cli.Running;
using KvStore.Cli.Shell;
using KvStore.Cli.Transactions;

namespace KvStore.Cli;

/// <summary>The whole of <c>kv</c>: all commands under one root. Start reading here.</summary>
internal static class KvCommandLine
{
    /// <summary>Runs one command line and returns its exit code (<see cref="ExitCode"/>). Nothing is thrown for whatever the user typed or the cluster answered.</summary>
    public static Task<int> RunAsync(IReadOnlyList<string> arguments, Terminal terminal, CancellationToken stop = default)
    {
        var host = new CommandHost(terminal);
        var root = new RootCommand("kv: KvStore from the command line. A key-value store in which each keyspace chooses what happens when the network breaks.")
        {
            UpCommand.Create(host),
            DownCommand.Create(host),
            DemoCommand.Create(host),
            GetCommand.Create(host),
            PutCommand.Create(host),
            DeleteCommand.Create(host),
            IncrementCommand.Create(host),
            CasCommand.Create(host),
            TransactionCommand.Create(host),
            ScanCommand.Create(host),
            WatchCommand.Create(host),
            ImportCommand.Create(host),
            ExportCommand.Create(host),
            ConflictCommands.Create(host),
            KeyspaceCommands.Create(host),
            ClusterCommands.Create(host),
            MemberCommands.Create(host),
            LeaderCommands.Create(host),
            EndpointCommands.Create(host),
            ContextCommands.Create(host),
            ShellCommand.Create(host),
            CompletionCommand.Create(host),
            FaultCommands.Create(host),
            BenchCommand.Create(host),
            HistoryCheckCommand.Create(host),
        };
        return host.RunAsync(root, arguments, stop);
    }
}

using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Keyspaces;

/// <summary>Creates a keyspace and gives its shards a moment to open on a majority and elect their leaders, so that the next command finds it serving. Shards of ap keyspaces elect one too, for changes of policy.</summary>
internal static class KeyspaceCreation
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    /// <returns>The keyspace; when the patience is over without all leaders known, as it is then. It exists either way.</returns>
    public static async Task<Keyspace> RunAsync(CommandContext context, KvKeyspaceSettings wanted)
    {
        var keyspace = await context.Client.Admin.CreateKeyspaceAsync(wanted, context.StopChanging);
        var patience = context.Timeout < Patience ? context.Timeout : Patience;
        var begin = TimeProvider.System.GetTimestamp();
        using var look = new PeriodicTimer(Pause);
        while (!IsReady(keyspace) && TimeProvider.System.GetElapsedTime(begin) < patience && await look.WaitForNextTickAsync(context.Stop))
        {
            keyspace = await DescribeAsync(context, wanted.Name) ?? keyspace;
        }

        return keyspace;
    }

    private static bool IsReady(Keyspace keyspace) => keyspace.Shards.All(shard => shard.LeaderHint != 0);

    /// <summary>Null while whoever was asked has not heard of it, or does not answer: it was created all the same.</summary>
    private static async Task<Keyspace?> DescribeAsync(CommandContext context, string name)
    {
        try
        {
            return (await context.Client.Admin.DescribeKeyspaceAsync(name, 0, context.Stop)).Keyspace;
        }
        catch (KvException)
        {
            return null;
        }
    }
}

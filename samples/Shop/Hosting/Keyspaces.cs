using KvStore.Client;
using KvStore.Contracts.V1;

namespace Shop.Hosting;

/// <summary>What the shop keeps where, and why there. Creates what is missing when the shop starts, which needs a majority of the nodes once; later starts need none.</summary>
public sealed partial class Keyspaces(IKvClient client, ILogger<Keyspaces> log) : IHostedService
{
    public const string Sessions = "shop-sessions";
    public const string Carts = "shop-carts";
    public const string Orders = "shop-orders";
    public const string Keys = "shop-keys";

    private static readonly KvKeyspaceSettings[] Wanted =
    [
        // What visitors looked at lately: in memory, on three nodes. Lost only if all of them restart at once.
        new() { Name = Sessions, Policy = PartitionPolicy.Ap, Replication = Replication.BestEffort, Durability = Durability.Memory, MemoryBytes = 64 << 20 },

        // Never refuse what a customer puts into the cart. On the disks of a majority, or of all nodes that can be reached, and the answer says which.
        new() { Name = Carts, Policy = PartitionPolicy.Ap, Replication = Replication.Sync },

        // Never give a number twice: rather refuse.
        new() { Name = Orders, Policy = PartitionPolicy.Cp, Replication = Replication.Sync },

        // What cookies are encrypted with: keys are only ever added, so both sides of a cut may add theirs.
        new() { Name = Keys, Policy = PartitionPolicy.Ap, Replication = Replication.Sync },
    ];

    /// <summary>Waits for the cluster: the shop may be started first.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        using var pause = new PeriodicTimer(TimeSpan.FromSeconds(1));
        do
        {
            try
            {
                await CreateAsync(cancellationToken);
                return;
            }
            catch (KvException notYet) when (notYet.Code is KvCode.Unavailable or KvCode.NoQuorum or KvCode.NoLeader or KvCode.DeadlineExceeded)
            {
                Waits(notYet.Message);
            }
        }
        while (await pause.WaitForNextTickAsync(cancellationToken));
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private async Task CreateAsync(CancellationToken cancellationToken)
    {
        HashSet<string> there = [.. (await client.Admin.ListKeyspacesAsync(cancellationToken)).Select(keyspace => keyspace.Name)];
        foreach (KvKeyspaceSettings settings in Wanted.Where(settings => !there.Contains(settings.Name)))
        {
            await client.Admin.CreateKeyspaceAsync(settings, cancellationToken);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The shop waits for its cluster. {Reason}")]
    private partial void Waits(string reason);
}

using System.CommandLine;
using KvStore.Cli.Running;
using KvStore.Contracts;

namespace KvStore.Cli.Keyspaces;

/// <summary>The options that describe a keyspace, shared by 'keyspace create' and 'bench --create'.</summary>
internal sealed class KeyspaceSettings
{
    public Option<string?> Policy { get; } = new("--policy")
    {
        Description = "Who may answer when replicas can't reach each other. cp: only a majority, linearizable; ap: everyone, concurrent values are kept.",
        HelpName = "cp|ap",
    };

    public Option<string?> Replication { get; } = new("--replication")
    {
        Description = "When a write is acknowledged. sync: durable on a majority; async: durable on one replica; best-effort: in the memory of one.",
        HelpName = "sync|async|best-effort",
    };

    public Option<int> Shards { get; } = new("--shards")
    {
        Description = $"How many shards, 1 to {KvLimits.MaxShards}. Default: {KvLimits.DefaultShards}.",
        HelpName = "N",
        CustomParser = result => Quantities.ParseCount(result, 1, KvLimits.MaxShards),
    };

    public Option<int> Replicas { get; } = new("--replicas")
    {
        Description = $"Replicas per shard, 1 to {KvLimits.MaxReplicas}; odd numbers are best. Default: 3, or the number of nodes if that is smaller.",
        HelpName = "N",
        CustomParser = result => Quantities.ParseCount(result, 1, KvLimits.MaxReplicas),
    };

    private readonly Option<string?> _durability = new("--durability") { Hidden = true };

    private readonly Option<string?> _timeToLive = new("--ttl") { Hidden = true };

    public void AddTo(Command command)
    {
        foreach (var option in (Option[])[Policy, Replication, Shards, Replicas, _durability, _timeToLive])
        {
            command.Add(option);
        }
    }

    /// <summary>Whether any of them stands on the command line.</summary>
    public bool AnyGiven(CommandContext context) =>
        ((Option[])[Policy, Replication, Shards, Replicas, _durability, _timeToLive]).Any(context.WasGiven);

    /// <summary>Refuses what is planned but not built, before anything is sent.</summary>
    /// <exception cref="CliFailure">One of the settings is not built yet.</exception>
    public void RefuseUnbuilt(CommandContext context)
    {
        if (context.WasGiven(_durability) && context.Value(_durability) != "disk")
        {
            throw CliFailure.Usage("--durability memory is not built yet; leave it out, every keyspace is durable.");
        }

        if (context.WasGiven(_timeToLive))
        {
            throw CliFailure.Usage("--ttl is not built yet; leave it out and delete what has expired.");
        }
    }

    public static CliFailure UnknownPolicy(string text) => text == "adaptive"
        ? CliFailure.Usage("Adaptive keyspaces are not built yet; use --policy cp or --policy ap.")
        : CliFailure.Usage($"'{text}' is not a partition policy; use --policy cp or --policy ap.");

    public static CliFailure UnknownReplication(string text) =>
        CliFailure.Usage($"'{text}' is not a replication; use --replication sync, async or best-effort.");
}

using System.CommandLine;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Keyspaces;

/// <summary>The options that describe a keyspace, shared by 'keyspace create' and 'bench --create'.</summary>
internal sealed class KeyspaceSettings
{
    private const long MemoryLeast = 2L * 1_048_576;

    private const long MemoryMost = 1L << 40;

    public Option<string?> Policy { get; } = new("--policy")
    {
        Description = "Who may answer when replicas can't reach each other. cp: only a majority, linearizable; ap: everyone, concurrent values are kept; adaptive: as cp with a majority, provisionally without.",
        HelpName = "cp|ap|adaptive",
    };

    public Option<string?> Replication { get; } = new("--replication")
    {
        Description = "When a write is acknowledged. sync (default): durable on a majority; async: durable on one replica; best-effort: in the memory of one.",
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

    public Option<(int Bytes, TimeSpan Time)> MaxLag { get; } = new("--max-lag")
    {
        Description = "async and best-effort of cp: how far acknowledgements may run ahead of the commit, as bytes, time or both; past it writes wait for their commit. Default: 1MiB,1s.",
        HelpName = "BYTES,TIME",
        CustomParser = Quantities.ParseLag,
    };

    public Option<TimeSpan> ProvisionalAfter { get; } = new("--provisional-after")
    {
        Description = "adaptive: after how long without a leader a replica serves provisionally, 1s to 1h. Default: 2s.",
        HelpName = "TIME",
        CustomParser = result => Quantities.ParseTime(result, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)),
    };

    public Option<string?> ReadLevel { get; } = new("--read-level")
    {
        Description = "The level of reads that state none. cp: linearizable (default), session or eventual; ap: eventual (default), session or quorum.",
        HelpName = "LEVEL",
    };

    public Option<string?> Conflicts { get; } = new("--conflicts")
    {
        Description = "ap: what is shown of values that were written concurrently. siblings (default): all of them, until a write supersedes them; last-writer-wins: the newest, the others are dropped in the background.",
        HelpName = "siblings|last-writer-wins",
    };

    public Option<string?> Durability { get; } = new("--durability")
    {
        Description = "Where data lives. disk (default): log and table files; memory (ap): in the memory of each replica, within --memory. What is over it is evicted; what all replicas lose at a time is gone.",
        HelpName = "disk|memory",
    };

    public Option<long> Memory { get; } = new("--memory")
    {
        Description = "durability memory: what one copy may take, over all shards; at least 2MiB a shard. Default: 256MiB.",
        HelpName = "SIZE",
        CustomParser = result => Quantities.ParseSize(result, MemoryLeast, MemoryMost),
    };

    public Option<TimeSpan> Ttl { get; } = Data.DataOptions.Ttl("How long values live that are written without a --ttl of their own: 1ms to 3650d, or never. Default: never.");

    public void AddTo(Command command)
    {
        foreach (var option in (Option[])[Policy, Replication, Shards, Replicas, MaxLag, ProvisionalAfter, Conflicts, ReadLevel, Durability, Memory, Ttl])
        {
            command.Add(option);
        }
    }

    /// <summary>Whether any of them stands on the command line.</summary>
    public bool AnyGiven(CommandContext context) =>
        ((Option[])[Policy, Replication, Shards, Replicas, MaxLag, ProvisionalAfter, Conflicts, ReadLevel, Durability, Memory, Ttl]).Any(context.WasGiven);

    /// <summary>What the options ask for. Refuses what is planned but not built, before anything is sent.</summary>
    /// <exception cref="CliFailure">A setting is missing, unknown or not built yet, or the name can't be one.</exception>
    public KvKeyspaceSettings Read(CommandContext context, string name)
    {
        RequireName(name);
        var policy = ReadPolicy(context.Value(Policy));
        return new KvKeyspaceSettings
        {
            Name = name,
            Policy = policy,
            Replication = ReadReplication(context.Value(Replication)),
            Shards = context.Value(Shards),
            Replicas = context.Value(Replicas),
            Durability = ReadDurability(context, policy),
            MemoryBytes = context.Value(Memory),
            Conflicts = ReadConflicts(context.Value(Conflicts), policy),
            MaxLagBytes = context.Value(MaxLag).Bytes,
            MaxLagTime = context.Value(MaxLag).Time,
            ProvisionalAfter = context.Value(ProvisionalAfter),
            DefaultTtl = context.WasGiven(Ttl) && context.Value(Ttl) != Timeout.InfiniteTimeSpan ? context.Value(Ttl) : null,
            DefaultReadLevel = ReadReadLevel(context.Value(ReadLevel)),
        };
    }

    /// <summary>What is to be altered.</summary>
    /// <exception cref="CliFailure">Nothing is, or a setting is unknown.</exception>
    public KvKeyspaceChange ReadChange(CommandContext context)
    {
        if (!((Option[])[Policy, Replication, MaxLag, ProvisionalAfter]).Any(context.WasGiven))
        {
            throw CliFailure.Usage("Nothing is to be altered; say --policy, --replication, --max-lag or --provisional-after.");
        }

        return new KvKeyspaceChange
        {
            Policy = context.WasGiven(Policy) ? ReadPolicy(context.Value(Policy)) : null,
            Replication = context.WasGiven(Replication) ? ReadReplication(context.Value(Replication)) : null,
            MaxLagBytes = context.Value(MaxLag).Bytes is > 0 and var bytes ? bytes : null,
            MaxLagTime = context.Value(MaxLag).Time is var time && time > TimeSpan.Zero ? time : null,
            ProvisionalAfter = context.WasGiven(ProvisionalAfter) ? context.Value(ProvisionalAfter) : null,
        };
    }

    private static PartitionPolicy ReadPolicy(string? text) => text switch
    {
        "cp" => PartitionPolicy.Cp,
        "ap" => PartitionPolicy.Ap,
        "adaptive" => PartitionPolicy.Adaptive,
        null => throw CliFailure.Usage(
            "No partition policy is given; say --policy cp (linearizable, served by a majority only), --policy ap (served everywhere, concurrent values are kept) or --policy adaptive (linearizable with a majority, provisional without)."),
        _ => throw CliFailure.Usage($"'{text}' is not a partition policy; use --policy cp, ap or adaptive."),
    };

    private static KvReadLevel ReadReadLevel(string? text) => text switch
    {
        null => KvReadLevel.Default,
        "linearizable" => KvReadLevel.Linearizable,
        "session" => KvReadLevel.Session,
        "eventual" => KvReadLevel.Eventual,
        "quorum" => KvReadLevel.Quorum,
        _ => throw CliFailure.Usage($"'{text}' can't be the default read level; use linearizable (cp), session, eventual or quorum (ap)."),
    };

    private static Replication ReadReplication(string? text) => text switch
    {
        "sync" or null => Contracts.V1.Replication.Sync,
        "async" => Contracts.V1.Replication.Async,
        "best-effort" => Contracts.V1.Replication.BestEffort,
        _ => throw CliFailure.Usage($"'{text}' is not a replication; use --replication sync, async or best-effort."),
    };

    private Durability ReadDurability(CommandContext context, PartitionPolicy policy) => context.Value(Durability) switch
    {
        "memory" when policy == PartitionPolicy.Ap => Contracts.V1.Durability.Memory,
        "memory" => throw CliFailure.Usage("Durability memory is for ap keyspaces: a log that forgets can't keep what the others promise; use --policy ap, or leave --durability out."),
        "disk" or null when context.WasGiven(Memory) => throw CliFailure.Usage("--memory bounds keyspaces in memory; add --durability memory, or leave it out."),
        "disk" or null => Contracts.V1.Durability.Disk,
        var text => throw CliFailure.Usage($"'{text}' is no durability; use --durability disk or memory."),
    };

    private static Conflicts ReadConflicts(string? text, PartitionPolicy policy) => text switch
    {
        "siblings" or null => Contracts.V1.Conflicts.Siblings,
        "last-writer-wins" when policy == PartitionPolicy.Ap => Contracts.V1.Conflicts.LastWriterWins,
        "last-writer-wins" => throw CliFailure.Usage("last-writer-wins decides between concurrent values, and only ap keyspaces have any; leave --conflicts out, or use --policy ap."),
        _ => throw CliFailure.Usage($"'{text}' is no way to treat conflicts; use --conflicts siblings or last-writer-wins."),
    };

    private static void RequireName(string name)
    {
        if (name.Length is 0 or > KvLimits.MaxKeyspaceNameLength || !char.IsAsciiLetterLower(name[0])
            || !name.All(character => char.IsAsciiLetterLower(character) || char.IsAsciiDigit(character) || character is '-' or '_' or '.'))
        {
            throw CliFailure.Usage(
                $"'{name}' can't be the name of a keyspace; use 1 to {KvLimits.MaxKeyspaceNameLength} of a-z, 0-9, '-', '_' and '.', beginning with a letter.");
        }
    }
}

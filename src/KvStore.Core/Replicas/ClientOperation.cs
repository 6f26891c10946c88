using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Numbers are those of kv.proto.</summary>
public enum OperationKind : byte
{
    None = 0,
    Get = 1,
    Put = 2,
    Delete = 3,
    Scan = 4,

    /// <summary>Adds <see cref="ClientOperation.Delta"/> to a counter.</summary>
    Increment = 5,

    /// <summary>Compares several keys, then does one of two lists of steps: <see cref="ClientOperation.Value"/> is a <see cref="Transactions.Transaction"/>.</summary>
    Transaction = 40,
}

/// <summary>Numbers are those of kv.proto.</summary>
public enum ReadLevel : byte
{
    /// <summary>What the keyspace offers as its default: linearizable for cp and adaptive, eventual for ap.</summary>
    Default = 0,
    Linearizable = 1,
    Eventual = 2,
    Quorum = 3,

    /// <summary>What the asked replica has, once that is all that the operation's session has seen.</summary>
    Session = 4,

    /// <summary>Nothing that was acknowledged longer ago than the stated bound is missing.</summary>
    Bounded = 5,
}

/// <summary>Numbers are those of kv.proto.</summary>
public enum WriteCondition : byte
{
    None = 0,

    /// <summary>Only if the key has no value.</summary>
    IfAbsent = 1,

    /// <summary>Only if the key's live dots are exactly those of the version (cp).</summary>
    IfVersion = 2,

    /// <summary>Supersede exactly what the version saw (ap).</summary>
    InContext = 3,
}

/// <summary>
/// One operation of a client on one shard, as the shard loop hands it to the replica. The memory behind it stays valid until the operation is completed.
/// </summary>
public struct ClientOperation
{
    /// <summary>Chosen by the loop, comes back with the <see cref="Completion"/>.</summary>
    public ulong Handle;
    public OperationKind Kind;
    public ReadLevel Level;
    public WriteCondition Condition;

    /// <summary>The key; for a scan the prefix (may be empty), for a transaction one of its keys.</summary>
    public ReadOnlyMemory<byte> Key;
    public ReadOnlyMemory<byte> Value;

    /// <summary>The version for <see cref="Condition"/>, as a read returned it.</summary>
    public ReadOnlyMemory<byte> Version;
    public RequestId Request;

    /// <summary>Puts, and increments that create a counter: how long it lives, in milliseconds. Zero: the keyspace's default; <see cref="NoExpiry"/>: for ever.</summary>
    public ulong TtlMs;

    /// <summary>Increments: what to add.</summary>
    public long Delta;

    /// <summary>An earlier attempt under this request id was sent, and nobody knows what became of it. Where a replica can't tell either, an increment is answered "unknown" and not done again.</summary>
    public bool MayHaveHappened;

    /// <summary>The keyspace epoch that the client knew when it first tried. Zero: not stated.</summary>
    public Epoch Epoch;

    /// <summary>Linearizable reads of sync keyspaces: a follower asks its leader for an index to wait for and answers itself, instead of passing the read on.</summary>
    public bool AtReplica;

    /// <summary>Only an answer of the ordered regime will do: a replica that serves provisionally refuses.</summary>
    public bool RequireStrong;

    /// <summary>Scan: continue behind this key.</summary>
    public ReadOnlyMemory<byte> After;

    /// <summary>Scan: at most this many records.</summary>
    public int Limit;

    /// <summary>What the caller's session has seen of this shard, encoded (<see cref="Versioning.SessionPosition"/>). Empty: the operation belongs to no session, and its answer carries no position.</summary>
    public ReadOnlyMemory<byte> Session;

    /// <summary>Level bounded: how old the answer may be, in milliseconds.</summary>
    public uint MaxStalenessMs;

    /// <summary>Scan: only the keys that have more than one live value, each with their number and without values.</summary>
    public bool OnlyConflicts;

    /// <summary>On the loop's monotonic clock, in milliseconds: when the answer becomes "unknown" or "not done".</summary>
    public long DeadlineMs;

    /// <summary>The value of <see cref="TtlMs"/> that asks for none, whatever the keyspace's default is.</summary>
    public const ulong NoExpiry = ulong.MaxValue;

    /// <summary>10 years.</summary>
    public const ulong MaxTtlMs = 315_360_000_000;

    public readonly bool IsWrite => Kind is OperationKind.Put or OperationKind.Delete or OperationKind.Increment or OperationKind.Transaction;

    /// <summary>How long the written value lives, in milliseconds. Zero: for ever.</summary>
    public readonly ulong EffectiveTtlMs(ulong defaultTtlMs) => Kind == OperationKind.Delete || TtlMs == NoExpiry ? 0 : TtlMs == 0 ? defaultTtlMs : TtlMs;
}

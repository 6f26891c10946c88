using KvStore.Contracts.V1;

namespace KvStore.Contracts.Pipeline;

/// <summary>kvstore.v1.Operation as a value: what the hand-written codec reads and writes. Memory slices the frame it was read from.</summary>
public struct WireOperation
{
    public ulong CallId;
    public OperationKind Kind;
    public uint KeyspaceId;
    public ulong Epoch;
    public ReadOnlyMemory<byte> Key;
    public ReadOnlyMemory<byte> Value;
    public WriteCondition Condition;
    public ReadOnlyMemory<byte> Version;

    /// <summary>Zero: no request id.</summary>
    public ulong Session;
    public ulong Sequence;
    public ulong AcknowledgedFloor;
    public ReadLevel Level;
    public uint TimeoutMs;
    public bool DeclineForwarding;
    public uint Shard;
    public ReadOnlyMemory<byte> After;
    public uint Limit;
    public bool ServeAtReplica;
    public bool RequireStrong;
    public ulong TtlMs;
    public long Delta;
    public bool MayHaveHappened;


    /// <summary>What the caller's session has seen. Empty: no session.</summary>
    public ReadOnlyMemory<byte> SessionPosition;
    public uint MaxStalenessMs;
    public bool OnlyConflicts;

    /// <summary>An encoded kvstore.v1.Transaction: whoever routes or forwards it need not read it.</summary>
    public ReadOnlyMemory<byte> Transaction;
}

using KvStore.Contracts.V1;

namespace KvStore.Contracts.Pipeline;

/// <summary>kvstore.v1.Result as a value: what the hand-written codec reads and writes. Memory slices the frame it was read from.</summary>
public struct WireResult
{
    public ulong CallId;
    public Outcome Outcome;
    public Code Code;
    public bool Found;
    public ReadOnlyMemory<byte> Value;
    public ReadOnlyMemory<byte> Version;
    public IReadOnlyList<WireSibling>? Siblings;
    public uint Acknowledgements;
    public bool Degraded;
    public Regime Regime;
    public ulong Epoch;
    public uint StalenessMs;
    public uint LeaderHint;
    public string? Reason;
    public bool Retryable;
    public IReadOnlyList<WireScanItem>? Items;
    public bool More;
    public uint Node;
    public long Counter;
    public ulong ExpiresInMs;


    /// <summary>What the session has seen with this answer.</summary>
    public ReadOnlyMemory<byte> SessionPosition;
    public uint HiddenLosers;
    public IReadOnlyList<WireMissingReplica>? Missing;

    /// <summary>An encoded kvstore.v1.TransactionResult. Empty: the operation was no transaction, or was not done.</summary>
    public ReadOnlyMemory<byte> Transaction;
}

public readonly record struct WireMissingReplica(uint Node, ulong ForMs);

public readonly record struct WireSibling(ReadOnlyMemory<byte> Value, ulong TimestampMs, ulong Writer = 0, ulong Write = 0);

public readonly record struct WireScanItem(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, ReadOnlyMemory<byte> Version, uint SiblingCount, ulong ExpiresInMs = 0);

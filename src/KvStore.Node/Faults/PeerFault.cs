namespace KvStore.Node.Faults;

/// <summary>What is wrong with the link to and from one peer, on purpose. Delay and chances count for what this node sends; cuts exist for either direction.</summary>
public readonly record struct PeerFault
{
    /// <summary>Nothing leaves for the peer. Connections stay, and are silent: a black hole, not a reset.</summary>
    public bool CutOutbound { get; init; }

    /// <summary>Nothing is taken from the peer.</summary>
    public bool CutInbound { get; init; }

    /// <summary>Each frame leaves this much later, in milliseconds, at most 60,000.</summary>
    public int DelayMs { get; init; }

    /// <summary>The chance of each frame to be lost, 0 to 1.</summary>
    public double Drop { get; init; }

    /// <summary>The chance of each frame to be sent twice, 0 to 1.</summary>
    public double Duplicate { get; init; }

    /// <summary>The chance of each frame to be overtaken by the next one, 0 to 1. Without a next one it leaves a little late.</summary>
    public double Reorder { get; init; }

    public const int MaxDelayMs = 60_000;

    public static readonly PeerFault None;

    public static readonly PeerFault Cut = new() { CutOutbound = true, CutInbound = true };

    /// <summary>What is wrong with the numbers, as a sentence; null when nothing is.</summary>
    public string? Problem() => this switch
    {
        { DelayMs: < 0 or > MaxDelayMs } => $"The delay must be 0 to {MaxDelayMs} ms, not {DelayMs}.",
        { Drop: not (>= 0 and <= 1) } => $"The chance to drop must be 0 to 1, not {Drop}.",
        { Duplicate: not (>= 0 and <= 1) } => $"The chance to duplicate must be 0 to 1, not {Duplicate}.",
        { Reorder: not (>= 0 and <= 1) } => $"The chance to reorder must be 0 to 1, not {Reorder}.",
        _ => null,
    };
}

/// <summary>What becomes of one frame.</summary>
public enum FrameFate : byte
{
    Deliver = 0,
    Drop = 1,
    Duplicate = 2,

    /// <summary>Hold it until the next one is sent.</summary>
    Reorder = 3,
}

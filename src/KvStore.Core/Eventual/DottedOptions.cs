namespace KvStore.Core.Eventual;

/// <summary>The bounds of a dotted replica. Every queue and every page has one.</summary>
public sealed record DottedOptions
{
    public static readonly DottedOptions Default = new();

    /// <summary>For objects in memory only: fewer dots are remembered for a lagging peer, since each takes from what is left for data.</summary>
    public static readonly DottedOptions ForMemory = new() { InMemory = true, MaxIndexedDots = 100_000 };

    /// <summary>A write that would leave a key with more concurrent values than this is refused. Receipts are never refused. 2 to 10,000.</summary>
    public int MaxSiblings { get; init; } = 64;

    /// <summary>
    /// How many dots may wait in memory for a lagging peer; about 100 bytes each, and the key. Past it the oldest are forgotten and that peer needs a full copy.
    /// </summary>
    public int MaxIndexedDots { get; init; } = 1_000_000;

    /// <summary>Objects are kept in memory only and may be evicted: absence means nothing, and every object carries its whole context (see <see cref="LetGo"/>).</summary>
    public bool InMemory { get; init; }

    /// <summary>Anti-entropy: a page is full after the key with which it reaches this many dots.</summary>
    public int MaxPageDots { get; init; } = 2_000;

    /// <summary>Anti-entropy: a page is full after the object with which it reaches this many bytes.</summary>
    public int MaxPageBytes { get; init; } = 512 * 1024;

    /// <summary>How many deleted keys may be remembered for removal; past it the oldest stay in the view until they are next touched.</summary>
    public int MaxRemembered { get; init; } = 100_000;
}

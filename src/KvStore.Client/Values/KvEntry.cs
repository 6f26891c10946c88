namespace KvStore.Client;

/// <summary>A key's value as one replica, or several, answered it, and how much the answer is worth.</summary>
/// <typeparam name="T">What the value was read as. A ReadOnlyMemory&lt;byte&gt; slices the received message and keeps it alive; copy it to keep it long.</typeparam>
public sealed record KvEntry<T>
{
    /// <summary>The key.</summary>
    public required KvKey Key { get; init; }

    /// <summary>The value; with siblings the deterministic winner (newest, then by actor).</summary>
    public required T Value { get; init; }

    /// <summary>What was seen, for conditions.</summary>
    public required KvVersion Version { get; init; }

    /// <summary>How many live values the key has: 1, or more after concurrent writes in an ap keyspace.</summary>
    public int SiblingCount { get; init; } = 1;

    /// <summary>All live values, when there is more than one; otherwise empty. Scans give the count only.</summary>
    public IReadOnlyList<KvSibling<T>> Siblings { get; init; } = [];

    /// <summary>last-writer-wins keyspaces: how many concurrent values lost against this one. They are dropped in the background.</summary>
    public int HiddenLosers { get; init; }

    /// <summary>The value is what the keyspace's resolver made of <see cref="Siblings"/>; see <see cref="KvKeyspaceOptions.Resolver"/>.</summary>
    public bool Resolved { get; init; }

    /// <summary>What became of writing the resolved value back, where that was asked for; null: it was not tried, or refused. If done, <see cref="Version"/> is the version that it made.</summary>
    public KvWriteResult? WrittenBack { get; init; }

    /// <summary>The regime the shard was in.</summary>
    public KvRegime Regime { get; init; }

    /// <summary>From a side without a majority: what is read may include writes that are not merged yet, and lack others.</summary>
    public bool Provisional => Regime == KvRegime.Provisional;

    /// <summary>Estimated age of the answer; zero for linearizable reads.</summary>
    public TimeSpan Staleness { get; init; }

    /// <summary>The keyspace epoch in which it was answered.</summary>
    public ulong Epoch { get; init; }

    /// <summary>How many replicas were asked.</summary>
    public int Acknowledgements { get; init; }

    /// <summary>Fewer replicas than wanted were reachable.</summary>
    public bool Degraded { get; init; }

    /// <summary>How long the value has to live, by the clock of the node that answered; null: it does not expire. It may be seen a little longer.</summary>
    public TimeSpan? ExpiresIn { get; init; }

    /// <summary>The node that answered; 0: not stated.</summary>
    public uint Node { get; init; }
}

/// <summary>One of several live values of a key.</summary>
/// <param name="Value">The value.</param>
/// <param name="Timestamp">When it was written, by the writer's hybrid clock.</param>
/// <param name="Writer">Which write it was, as text: the replica that took it, under the random name that it has since its start, and the number of the write there. No other value ever has the same.</param>
/// <typeparam name="T">What the value was read as.</typeparam>
public readonly record struct KvSibling<T>(T Value, DateTimeOffset Timestamp, string Writer = "");

/// <summary>A key with several live values.</summary>
/// <param name="Key">The key.</param>
/// <param name="SiblingCount">How many, up to 255.</param>
public readonly record struct KvConflict(KvKey Key, int SiblingCount);

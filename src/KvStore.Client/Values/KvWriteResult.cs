namespace KvStore.Client;

/// <summary>What became of a write.</summary>
public readonly record struct KvWriteResult
{
    /// <summary>Done, NotDone or Unknown.</summary>
    public KvOutcome Outcome { get; init; }

    /// <summary>Whether it was done.</summary>
    public bool IsDone => Outcome == KvOutcome.Done;

    /// <summary>The key's version after the write; absent after a delete, and when the write is not done.</summary>
    public KvVersion Version { get; init; }

    /// <summary>How many replicas held the write when it was acknowledged.</summary>
    public int Acknowledgements { get; init; }

    /// <summary>Fewer replicas than the keyspace's replication asks for were reachable.</summary>
    public bool Degraded { get; init; }

    /// <summary>
    /// An earlier attempt of this write was sent, and what became of it was never told. In cp and adaptive keyspaces it has one effect all the same. In an ap keyspace that attempt may stand beside this one as a second write of the same value: a sibling that
    /// whoever writes in the context of only one of them does not supersede.
    /// </summary>
    public bool EarlierAttemptUnanswered { get; init; }

    /// <summary>The regime the shard was in.</summary>
    public KvRegime Regime { get; init; }

    /// <summary>Taken by a minority, to be merged when the network heals.</summary>
    public bool Provisional => Regime == KvRegime.Provisional;

    /// <summary>The keyspace epoch in which it was answered.</summary>
    public ulong Epoch { get; init; }

    /// <summary>Why it is not done or not known.</summary>
    public KvCode Code { get; init; }

    /// <summary>The same for people; null when done.</summary>
    public string? Reason { get; init; }

    /// <summary>The node that answered; 0: none did.</summary>
    public uint Node { get; init; }
}

namespace KvStore.Client;

/// <summary>What is known about the effect of a write. Numbers are those of the wire.</summary>
public enum KvOutcome
{
    /// <summary>Not stated.</summary>
    None = 0,

    /// <summary>It took effect.</summary>
    Done = 1,

    /// <summary>It had no effect and never will; safe to send again as a new write.</summary>
    NotDone = 2,

    /// <summary>It may have happened, or may yet happen.</summary>
    Unknown = 3,
}

/// <summary>How a shard served. Numbers are those of the wire.</summary>
public enum KvRegime
{
    /// <summary>Not stated.</summary>
    None = 0,

    /// <summary>Ordered by the log: linearizable per key.</summary>
    Ordered = 1,

    /// <summary>Each replica for itself; converges.</summary>
    Open = 2,

    /// <summary>By a minority of an adaptive keyspace; merged when the network heals.</summary>
    Provisional = 3,
}

/// <summary>How fresh a read must be. Numbers are those of the wire.</summary>
public enum KvReadLevel
{
    /// <summary>Linearizable in cp and adaptive keyspaces, eventual in ap keyspaces.</summary>
    Default = 0,

    /// <summary>Sees every write that was acknowledged before the read began. cp and adaptive keyspaces, on the side with a majority.</summary>
    Linearizable = 1,

    /// <summary>From the replica that is asked, as it stands.</summary>
    Eventual = 2,

    /// <summary>Asks a majority of the replicas, merges what they hold and repairs those that lack something. ap keyspaces.</summary>
    Quorum = 3,

    /// <summary>From any replica that has all that the session of the read has seen and written; see <see cref="KvSession"/>. The default of reads that name a session.</summary>
    Session = 4,

    /// <summary>
    /// From any replica that misses nothing that was acknowledged longer ago than <see cref="KvReadOptions.MaxStaleness"/> before the read began. That is measured, by asking the leader or the other replicas, never
    /// guessed from clocks. The default of reads that state a bound.
    /// </summary>
    Bounded = 5,
}

/// <summary>How far an operation came before it failed.</summary>
public enum KvPhase
{
    /// <summary>It waited in this client and was not sent.</summary>
    Queued = 0,

    /// <summary>It waited for a connection or for the first topology, and was not sent.</summary>
    Connecting = 1,

    /// <summary>It was sent, and no answer came.</summary>
    Sent = 2,

    /// <summary>A node answered.</summary>
    Server = 3,
}

/// <summary>Which replica answers a read that several could answer.</summary>
public enum KvReadFrom
{
    /// <summary>
    /// Linearizable: the leader, wherever the request arrives: one confirmation by a quorum, and the least waiting. Eventual in an ap keyspace: the replica that takes the writes, as long as it can be reached, so that
    /// what was just written is mostly there.
    /// </summary>
    Leader = 0,

    /// <summary>
    /// A near replica: the better of two by the expected wait. For a linearizable read it asks the leader how far it must have applied, and answers when it has: as fresh as a read from the leader, with its load spread over the
    /// replicas. Where writes are acknowledged before their commit (async, best-effort) the leader answers all the same.
    /// </summary>
    Nearest = 1,
}

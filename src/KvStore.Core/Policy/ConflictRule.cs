namespace KvStore.Core.Policy;

/// <summary>What a keyspace does with values that were written concurrently. Numbers are those of kv.proto. Only ap keyspaces have any to decide about.</summary>
public enum ConflictRule : byte
{
    None = 0,

    /// <summary>All are kept and shown until a write supersedes them.</summary>
    Siblings = 1,

    /// <summary>Reads show the one with the highest timestamp; the others are hidden, counted, and dropped in the background.</summary>
    LastWriterWins = 2,
}

public static class ConflictRules
{
    /// <summary>Why a keyspace of this policy can't have the rule, or null when it can.</summary>
    public static string? FaultOf(ConflictRule rule, PartitionChoice partition) => rule == ConflictRule.LastWriterWins && partition != PartitionChoice.Ap
        ? "last-writer-wins decides between concurrent values, and only ap keyspaces have any: leave it out, or choose ap."
        : null;
}

namespace KvStore.Core.Identity;

/// <summary>
/// One voter or learner of one shard's Raft group, for one life of its log. Never reused: a voter that lost its log or hard state comes back under a new id.
/// </summary>
public readonly record struct ReplicaId(ulong Value) : IComparable<ReplicaId>
{
    public bool IsNone => Value == 0;

    public int CompareTo(ReplicaId other) => Value.CompareTo(other.Value);

    public override string ToString() => IsNone ? "r-" : $"r{Value}";
}

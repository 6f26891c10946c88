using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>
/// Names one write: the <paramref name="Counter"/>-th of <paramref name="Actor"/>, counted from 1. A dot is minted once and never reused. Ordered by actor, then counter; the order has no
/// causal meaning.
/// </summary>
public readonly record struct Dot(ActorId Actor, ulong Counter) : IComparable<Dot>
{
    /// <summary>Decoders refuse counters above this, so that a successor can always be computed.</summary>
    public const ulong MaxCounter = 1ul << 62;

    /// <summary>The dot of an entry of the shard's log.</summary>
    public static Dot OfLog(LogIndex index) => new(ActorId.Log, index.Value);

    public bool IsNone => Counter == 0;

    public int CompareTo(Dot other)
    {
        int byActor = Actor.CompareTo(other.Actor);
        return byActor != 0 ? byActor : Counter.CompareTo(other.Counter);
    }

    public override string ToString() => $"{Actor}.{Counter}";
}

namespace KvStore.Core.Identity;

/// <summary>
/// Mints dots. A shard has one log actor for life, <see cref="Log"/>, whose counter is the Raft log index; every other actor is a random id that a replica
/// draws anew for each incarnation and each episode in which it mints, so that a counter that was lost with its disk can never be minted twice.
/// </summary>
public readonly record struct ActorId(ulong Value) : IComparable<ActorId>
{
    /// <summary>Ids below this are reserved.</summary>
    public const ulong FirstRandom = 1 << 16;

    /// <summary>The Raft log of the shard, seen as one more writer.</summary>
    public static readonly ActorId Log = new(1);

    public bool IsNone => Value == 0;

    public bool IsLog => Value == Log.Value;

    /// <summary>Draws a fresh replica actor.</summary>
    public static ActorId Draw(Random random) => new((ulong)random.NextInt64((long)FirstRandom, long.MaxValue));

    public int CompareTo(ActorId other) => Value.CompareTo(other.Value);

    public override string ToString() => IsLog ? "log" : $"a{Value:x}";
}

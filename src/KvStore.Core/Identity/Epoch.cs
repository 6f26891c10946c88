namespace KvStore.Core.Identity;

/// <summary>One number per change of regime of a keyspace, and on every message and request of its shards. The first epoch is 1.</summary>
public readonly record struct Epoch(ulong Value) : IComparable<Epoch>
{
    public Epoch Next => new(checked(Value + 1));

    public int CompareTo(Epoch other) => Value.CompareTo(other.Value);

    public static bool operator <(Epoch left, Epoch right) => left.Value < right.Value;

    public static bool operator >(Epoch left, Epoch right) => left.Value > right.Value;

    public static bool operator <=(Epoch left, Epoch right) => left.Value <= right.Value;

    public static bool operator >=(Epoch left, Epoch right) => left.Value >= right.Value;

    public override string ToString() => $"e{Value}";
}

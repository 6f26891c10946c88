namespace KvStore.Core.Identity;

/// <summary>A Raft term. Zero is before the first election.</summary>
public readonly record struct Term(ulong Value) : IComparable<Term>
{
    public static readonly Term Zero;

    public Term Next => new(checked(Value + 1));

    public int CompareTo(Term other) => Value.CompareTo(other.Value);

    public static bool operator <(Term left, Term right) => left.Value < right.Value;

    public static bool operator >(Term left, Term right) => left.Value > right.Value;

    public static bool operator <=(Term left, Term right) => left.Value <= right.Value;

    public static bool operator >=(Term left, Term right) => left.Value >= right.Value;

    public override string ToString() => $"t{Value}";
}

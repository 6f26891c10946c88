namespace KvStore.Core.Identity;

/// <summary>One process of the cluster with one data directory. Chosen by the operator, 1 to 65,535, never reused for another directory.</summary>
public readonly record struct NodeId : IComparable<NodeId>
{
    public const uint Max = 65_535;

    public NodeId(uint value)
    {
        ArgumentOutOfRangeException.ThrowIfZero(value);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, Max);
        Value = value;
    }

    /// <summary>Zero only in <c>default</c>, which stands for "no node".</summary>
    public uint Value { get; }

    public bool IsNone => Value == 0;

    public int CompareTo(NodeId other) => Value.CompareTo(other.Value);

    public override string ToString() => IsNone ? "n-" : $"n{Value}";
}

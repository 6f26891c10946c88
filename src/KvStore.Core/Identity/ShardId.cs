namespace KvStore.Core.Identity;

/// <summary>
/// One shard of one keyspace: 32 bits of keyspace id, 16 bits of shard number. Keyspace ids are never reused; keyspace 0 is <c>_system</c>.
/// </summary>
public readonly record struct ShardId : IComparable<ShardId>
{
    /// <summary>The shard that holds members, keyspaces and the shard map. Every node has a replica of it.</summary>
    public static readonly ShardId System = new(0, 0);

    private readonly ulong _value;

    public ShardId(uint keyspace, int number)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(number, ushort.MaxValue);
        _value = ((ulong)keyspace << 16) | (uint)number;
    }

    private ShardId(ulong value) => _value = value;

    public uint Keyspace => (uint)(_value >> 16);

    public int Number => (int)(_value & 0xFFFF);

    /// <summary>The id as it stands on the wire and on the disk.</summary>
    public ulong Packed => _value;

    public static ShardId FromPacked(ulong value)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 0xFFFF_FFFF_FFFFul);
        return new ShardId(value);
    }

    public int CompareTo(ShardId other) => _value.CompareTo(other._value);

    public override string ToString() => $"s{Keyspace}.{Number}";
}

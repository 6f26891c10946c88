using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>
/// What one actor has added to a counter so far: the value of a dot of form <see cref="ValueForm.Counter"/>. Each increment of the actor supersedes its former total; the counter is the sum over the actors.
/// </summary>
/// <remarks>
/// Layout: total (zigzag varint), owner (varint, zero: the log), count of requests (varint), then for each its session (8 bytes) and sequence (varint), oldest first.
/// The owner is the replica that minted it. Its id is never used again by anybody else, so it knows the totals of its own earlier lives by it and carries them over; nobody else may, because two replicas
/// that carried the same total over would count it twice.
/// </remarks>
public readonly struct CounterTotal
{
    /// <summary>Requests that a total remembers, so that their retries are known wherever it has arrived. Each takes about 10 bytes.</summary>
    public const int MaxRequests = 16;

    /// <summary>When nothing was added for so long the remembered requests go with the next increment: no client tries for longer.</summary>
    public const long RememberMs = 600_000;

    private const int MinRequestBytes = 9;

    private readonly ReadOnlyMemory<byte> _requests;

    private CounterTotal(long total, ReplicaId owner, int count, ReadOnlyMemory<byte> requests)
    {
        Total = total;
        Owner = owner;
        RequestCount = count;
        _requests = requests;
    }

    public long Total { get; }

    /// <summary>Who minted it; none for the log.</summary>
    public ReplicaId Owner { get; }

    public int RequestCount { get; }

    public static byte[] Encode(long total, ReplicaId owner = default, params ReadOnlySpan<RequestId> requests)
    {
        Span<byte> buffer = stackalloc byte[(3 * VarInt.MaxLength) + (MaxRequests * (sizeof(ulong) + VarInt.MaxLength))];
        int length = VarInt.Write(buffer, ZigZag(total));
        length += VarInt.Write(buffer[length..], owner.Value);
        Invariant.Assert(requests.Length <= MaxRequests);
        length += VarInt.Write(buffer[length..], (ulong)requests.Length);
        foreach (ref readonly RequestId request in requests)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(buffer[length..], request.Session);
            length += sizeof(ulong);
            length += VarInt.Write(buffer[length..], request.Sequence);
        }

        return buffer[..length].ToArray();
    }

    /// <exception cref="MalformedRecordException">The bytes are no such total.</exception>
    public static CounterTotal Decode(ReadOnlyMemory<byte> value)
    {
        BinaryCursor input = new(value);
        ulong zigzag = input.ReadVarInt();
        long total = (long)(zigzag >> 1) ^ -(long)(zigzag & 1);
        ReplicaId owner = new(input.ReadVarInt());
        int count = input.ReadCount(MinRequestBytes);
        if (count > MaxRequests)
        {
            MalformedRecordException.Throw("a total remembers too many requests");
        }

        ReadOnlyMemory<byte> requests = value[input.Position..];
        for (int i = 0; i < count; i++)
        {
            input.ReadFixed64();
            input.ReadVarInt();
        }

        input.ExpectEnd();
        return new CounterTotal(total, owner, count, requests);
    }

    /// <summary>Whether this total has counted the request.</summary>
    public bool Holds(in RequestId request)
    {
        BinaryCursor input = new(_requests);
        for (int i = 0; i < RequestCount; i++)
        {
            ulong session = input.ReadFixed64();
            if (input.ReadVarInt() == request.Sequence && session == request.Session && !request.IsNone)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Adds the requests, oldest first.</summary>
    public void CopyRequests(List<RequestId> target)
    {
        BinaryCursor input = new(_requests);
        for (int i = 0; i < RequestCount; i++)
        {
            target.Add(new RequestId(input.ReadFixed64(), input.ReadVarInt(), 0));
        }
    }

    /// <summary>A counter as readers see it: decimal text.</summary>
    public static ReadOnlyMemory<byte> ToText(long sum) => Encoding.UTF8.GetBytes(sum.ToString(CultureInfo.InvariantCulture));

    private static ulong ZigZag(long value) => ((ulong)value << 1) ^ (ulong)(value >> 63);
}

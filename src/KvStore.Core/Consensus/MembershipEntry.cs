using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Consensus;

/// <summary>
/// The payload of a configuration entry:
/// <code>
///  0 format    0x81. At or above <see cref="FirstByte"/>, which is how a stored entry tells its kind: no command begins so.
///  . voters, outgoing voters, learners, next learners: each a count and that many ids, ascending (all integers LEB128)
///  . context   the rest: bytes of the host, which Raft does not look into
/// </code>
/// The whole resulting configuration, not the change: whoever applies it needs no other.
/// </summary>
public readonly record struct MembershipEntry(MembershipConfig Config, ReadOnlyMemory<byte> Context)
{
    /// <summary>Payloads that begin with this byte or a higher one are configurations.</summary>
    public const byte FirstByte = 0x80;

    /// <summary>In bytes: what hosts want to say about a handful of members fits many times.</summary>
    public const int MaxContextBytes = 64 * 1024;

    private const byte Format = 0x81;

    /// <exception cref="ArgumentOutOfRangeException">The context is longer than <see cref="MaxContextBytes"/>.</exception>
    public static byte[] Encode(MembershipConfig config, ReadOnlySpan<byte> context)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(context.Length, MaxContextBytes);
        var output = new ArrayBufferWriter<byte>();
        VarInt.WriteByte(output, Format);
        WriteIds(output, config.Voters.AsSpan());
        WriteIds(output, config.OutgoingVoters.AsSpan());
        WriteIds(output, config.Learners.AsSpan());
        WriteIds(output, config.NextLearners.AsSpan());
        output.Write(context);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>The context is a slice of <paramref name="payload"/>.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no configuration, or one that breaks an invariant of <see cref="MembershipConfig"/>.</exception>
    public static MembershipEntry Decode(ReadOnlyMemory<byte> payload)
    {
        var cursor = new BinaryCursor(payload);
        if (cursor.ReadByte() != Format)
        {
            MalformedRecordException.Throw("a configuration entry has an unknown format");
        }

        ReplicaId[] voters = ReadIds(ref cursor);
        ReplicaId[] outgoing = ReadIds(ref cursor);
        ReplicaId[] learners = ReadIds(ref cursor);
        ReplicaId[] nextLearners = ReadIds(ref cursor);
        ReadOnlyMemory<byte> context = cursor.ReadRest();
        if (context.Length > MaxContextBytes)
        {
            MalformedRecordException.Throw("the context of a configuration is too long");
        }

        bool sound = voters.Length > 0
            && voters.Union(outgoing).Union(learners).Count() <= MembershipConfig.MaxMembers
            && !learners.Any(id => voters.Contains(id) || outgoing.Contains(id))
            && nextLearners.All(id => outgoing.Contains(id) && !voters.Contains(id));
        if (!sound)
        {
            MalformedRecordException.Throw("a configuration contradicts itself");
        }

        return new MembershipEntry(new MembershipConfig(voters, learners, outgoing, nextLearners), context);
    }

    private static void WriteIds(ArrayBufferWriter<byte> output, ReadOnlySpan<ReplicaId> ids)
    {
        VarInt.Write(output, (ulong)ids.Length);
        foreach (ReplicaId id in ids)
        {
            VarInt.Write(output, id.Value);
        }
    }

    private static ReplicaId[] ReadIds(ref BinaryCursor cursor)
    {
        int count = cursor.ReadCount(1);
        if (count > MembershipConfig.MaxMembers)
        {
            MalformedRecordException.Throw("a configuration names too many members");
        }

        var ids = new ReplicaId[count];
        ulong previous = 0;
        for (int i = 0; i < count; i++)
        {
            ulong id = cursor.ReadVarInt();
            if (id <= previous)
            {
                MalformedRecordException.Throw("the members of a configuration are not in ascending order");
            }

            previous = id;
            ids[i] = new ReplicaId(id);
        }

        return ids;
    }
}

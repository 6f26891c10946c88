using System.Buffers;
using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Two records: the context of a configuration entry (places), and the members as the view holds them. Canonical: one value, one sequence of bytes; ids go up, so that no list names one twice. Bounded by
/// <see cref="MembershipConfig.MaxMembers"/>. The decoders are total: any other bytes end in <see cref="MalformedRecordException"/>.
/// </summary>
internal static class MembersCodec
{
    private const byte PlacesFormat = 1;
    private const byte MembersFormat = 1;

    /// <summary>Where the view's Meta space holds the members.</summary>
    public static ReadOnlySpan<byte> Key => "members"u8;

    public static byte[] EncodePlaces(IEnumerable<ReplicaPlace> places)
    {
        var output = new ArrayBufferWriter<byte>(64);
        VarInt.WriteByte(output, PlacesFormat);
        WritePlaces(output, [.. places.OrderBy(place => place.Replica)]);
        return output.WrittenSpan.ToArray();
    }

    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static ImmutableArray<ReplicaPlace> DecodePlaces(ReadOnlyMemory<byte> bytes)
    {
        var cursor = new BinaryCursor(bytes);
        ReadFormat(ref cursor, PlacesFormat);
        ImmutableArray<ReplicaPlace> places = ReadPlaces(ref cursor);
        cursor.ExpectEnd();
        return places;
    }

    public static byte[] EncodeMembers(ShardMembers members)
    {
        var output = new ArrayBufferWriter<byte>(128);
        VarInt.WriteByte(output, MembersFormat);
        WriteIds(output, members.Config.Voters);
        WriteIds(output, members.Config.Learners);
        WriteIds(output, members.Config.OutgoingVoters);
        WriteIds(output, members.Config.NextLearners);
        WritePlaces(output, members.Places);
        WriteIds(output, members.Retired);
        return output.WrittenSpan.ToArray();
    }

    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static ShardMembers DecodeMembers(ReadOnlyMemory<byte> bytes)
    {
        var cursor = new BinaryCursor(bytes);
        ReadFormat(ref cursor, MembersFormat);
        ImmutableArray<ReplicaId> voters = ReadSortedIds(ref cursor);
        ImmutableArray<ReplicaId> learners = ReadSortedIds(ref cursor);
        ImmutableArray<ReplicaId> outgoing = ReadSortedIds(ref cursor);
        ImmutableArray<ReplicaId> nextLearners = ReadSortedIds(ref cursor);
        ImmutableArray<ReplicaPlace> places = ReadPlaces(ref cursor);
        ImmutableArray<ReplicaId> retired = ReadIds(ref cursor, ShardMembers.MaxRetired);
        cursor.ExpectEnd();
        Expect(voters.Length > 0, "a configuration has no voter");
        Expect(!learners.Any(id => voters.Contains(id) || outgoing.Contains(id)), "a learner votes");
        Expect(nextLearners.All(id => outgoing.Contains(id) && !voters.Contains(id)), "a voter that stays becomes a learner");
        Expect(voters.Union(outgoing).Union(learners).Count() <= MembershipConfig.MaxMembers, "a configuration has too many members");
        var config = new MembershipConfig(voters, learners, outgoing, nextLearners);
        Expect(places.All(place => config.IsMember(place.Replica)), "a place names no member");
        Expect(!retired.Any(config.IsMember) && retired.Distinct().Count() == retired.Length, "a removed replica is a member, or was removed twice");
        return new ShardMembers(config, places, retired);
    }

    private static void WriteIds(IBufferWriter<byte> output, ImmutableArray<ReplicaId> ids)
    {
        VarInt.Write(output, (ulong)ids.Length);
        foreach (ReplicaId id in ids)
        {
            VarInt.Write(output, id.Value);
        }
    }

    private static void WritePlaces(IBufferWriter<byte> output, ImmutableArray<ReplicaPlace> places)
    {
        Invariant.Assert(places.Length <= MembershipConfig.MaxMembers);
        VarInt.Write(output, (ulong)places.Length);
        foreach (ReplicaPlace place in places)
        {
            VarInt.Write(output, place.Replica.Value);
            VarInt.Write(output, place.Node.Value);
        }
    }

    private static void ReadFormat(ref BinaryCursor cursor, byte expected) => Expect(cursor.ReadByte() == expected, "the format is not known");

    private static ImmutableArray<ReplicaPlace> ReadPlaces(ref BinaryCursor cursor)
    {
        int count = cursor.ReadCount(2);
        Expect(count <= MembershipConfig.MaxMembers, "too many places");
        ImmutableArray<ReplicaPlace>.Builder places = ImmutableArray.CreateBuilder<ReplicaPlace>(count);
        ReplicaId last = default;
        for (int i = 0; i < count; i++)
        {
            ReplicaId id = ReadId(ref cursor);
            Expect(id.CompareTo(last) > 0, "places are out of order");
            last = id;
            ulong node = cursor.ReadVarInt();
            Expect(node is > 0 and <= NodeId.Max, "a node id is out of range");
            places.Add(new ReplicaPlace(new NodeId((uint)node), id));
        }

        return places.MoveToImmutable();
    }

    private static ImmutableArray<ReplicaId> ReadSortedIds(ref BinaryCursor cursor)
    {
        ImmutableArray<ReplicaId> ids = ReadIds(ref cursor, MembershipConfig.MaxMembers);
        for (int i = 1; i < ids.Length; i++)
        {
            Expect(ids[i].CompareTo(ids[i - 1]) > 0, "ids are out of order");
        }

        return ids;
    }

    private static ImmutableArray<ReplicaId> ReadIds(ref BinaryCursor cursor, int max)
    {
        int count = cursor.ReadCount(1);
        Expect(count <= max, "too many ids");
        ImmutableArray<ReplicaId>.Builder ids = ImmutableArray.CreateBuilder<ReplicaId>(count);
        for (int i = 0; i < count; i++)
        {
            ids.Add(ReadId(ref cursor));
        }

        return ids.MoveToImmutable();
    }

    private static ReplicaId ReadId(ref BinaryCursor cursor)
    {
        ulong value = cursor.ReadVarInt();
        Expect(value != 0, "an id is zero");
        return new ReplicaId(value);
    }

    private static void Expect(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new MalformedRecordException(otherwise);
        }
    }
}

using System.Collections.Immutable;
using CsCheck;
using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

public class MembersCodecTests
{
    private static readonly Gen<ReplicaPlace> GenPlace =
        Gen.Select(Gen.UInt[1, 65_535], Gen.ULong[1, 200]).Select((node, replica) => new ReplicaPlace(new NodeId(node), new ReplicaId(replica)));

    private static readonly Gen<ImmutableArray<ReplicaPlace>> GenPlaces =
        GenPlace.Array[1, 12].Select(places => places.DistinctBy(place => place.Replica).OrderBy(place => place.Replica).ToImmutableArray());

    private static readonly Gen<ShardMembers> GenMembers = Gen.Select(GenPlaces, Gen.Int[0, 3].Array[12], Gen.ULong[300, 400].Array[0, 20]).Select((places, roles, retired) =>
    {
        ReplicaId[] With(int role) => [.. places.Select(place => place.Replica).Where((_, i) => i > 0 && roles[i] == role)];
        var config = new MembershipConfig([places[0].Replica, .. With(0)], With(1), [.. With(2), .. With(3)], With(3));
        return new ShardMembers(config, places, [.. retired.Distinct().Select(id => new ReplicaId(id))]);
    });

    [Fact]
    public void What_was_written_is_read_back() => GenMembers.Sample(members =>
    {
        ShardMembers read = MembersCodec.DecodeMembers(MembersCodec.EncodeMembers(members));
        read.Config.Equals(members.Config).Should().BeTrue();
        read.Places.Should().Equal(members.Places);
        read.Retired.Should().Equal(members.Retired);
        MembersCodec.DecodePlaces(MembersCodec.EncodePlaces(members.Places.Reverse())).Should().Equal(members.Places);
    });

    [Fact]
    public void Damaged_bytes_are_refused_or_mean_exactly_what_they_say() => Gen.Select(GenMembers, Gen.Int[0, 1_000], Gen.Byte).Sample((members, at, value) =>
    {
        foreach (byte[] bytes in (byte[][])[MembersCodec.EncodeMembers(members), MembersCodec.EncodePlaces(members.Places)])
        {
            bytes[at % bytes.Length] = value;
            MeansWhatItSays(bytes);
            MeansWhatItSays(bytes[..(at % bytes.Length)]);
        }
    });

    [Fact]
    public void Any_bytes_at_all_are_read_or_refused() => Gen.Byte.Array[0, 60].Sample(MeansWhatItSays);

    [Fact]
    public void Places_and_removed_replicas_follow_from_the_founders_and_the_applied_configurations()
    {
        ShardMembers founding = ShardMembers.Founding(ReplicaCluster.Places(1, 2, 3));
        ShardMembers grown = founding.After(new MembershipConfig(Ids(1, 2, 3), Ids(4)), ReplicaCluster.Places(1, 2, 3, 4));
        ShardMembers joint = grown.After(new MembershipConfig(Ids(1, 4), null, Ids(1, 2, 3)), ReplicaCluster.Places(1, 4));
        ShardMembers left = joint.After(new MembershipConfig(Ids(1, 4)), ReplicaCluster.Places(1, 4));

        joint.Places.Should().Equal(ReplicaCluster.Places(1, 2, 3, 4), "who leaves must be spoken to until it has left");
        left.Places.Should().Equal(ReplicaCluster.Places(1, 4));
        left.Retired.Should().Equal(Ids(2, 3));
    }

    [Fact]
    public void Only_so_many_removed_replicas_are_remembered()
    {
        ShardMembers members = ShardMembers.Founding(ReplicaCluster.Places(1));
        for (uint id = 2; id < 100; id++)
        {
            members = members.After(new MembershipConfig(Ids(1), Ids(id)), ReplicaCluster.Places(id));
        }

        members.Retired.Should().HaveCount(ShardMembers.MaxRetired);
        members.Retired[^1].Should().Be(new ReplicaId(98));
        MembersCodec.DecodeMembers(MembersCodec.EncodeMembers(members)).Retired.Should().Equal(members.Retired);
    }

    private static ReplicaId[] Ids(params ulong[] ids) => [.. ids.Select(id => new ReplicaId(id))];

    private static void MeansWhatItSays(byte[] bytes)
    {
        try
        {
            MembersCodec.EncodeMembers(MembersCodec.DecodeMembers(bytes)).Should().Equal(bytes);
        }
        catch (MalformedRecordException)
        {
            // Refused is as good.
        }

        try
        {
            MembersCodec.EncodePlaces(MembersCodec.DecodePlaces(bytes)).Should().Equal(bytes);
        }
        catch (MalformedRecordException)
        {
            // Refused is as good.
        }
    }
}

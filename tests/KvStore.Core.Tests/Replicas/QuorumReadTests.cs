using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Whom a quorum read asks, and when it asks the others.</summary>
public class QuorumReadTests
{
    private const string Request = nameof(DottedMessageKind.ReadRequest);

    [Fact]
    public void A_read_asks_as_many_as_make_a_majority_and_takes_turns_among_equals()
    {
        ReplicaCluster cluster = Cluster(5);
        var asked = new HashSet<uint>();
        for (int i = 0; i < 10; i++)
        {
            List<uint> now = Read(cluster);
            (now.Count is 2 or 4).Should().BeTrue("two others make a majority of five; now and then everybody is asked");
            asked.UnionWith(now);
        }

        asked.Should().BeEquivalentTo([2u, 3u, 4u, 5u]);
    }

    [Fact]
    public void One_in_32_reads_asks_everybody()
    {
        ReplicaCluster cluster = Cluster(3);
        Enumerable.Range(0, 64).Count(_ => Read(cluster).Count == 2).Should().Be(2);
    }

    [Fact]
    public void When_the_one_that_was_asked_is_late_the_others_are_asked_and_later_reads_begin_with_them()
    {
        ReplicaCluster cluster = Cluster(3);
        cluster.LostOnWayTo.Add((2, Request));
        List<int> counts = [];
        for (int i = 0; i < 24; i++)
        {
            cluster.Sent.Clear();
            TextOf(cluster.Get(cluster[1], "k", ReadLevel.Quorum)).Should().Be("v");
            counts.Add(Asked(cluster).Count(to => to == 2));
        }

        counts.Should().Contain(2, "the late one was asked again with the other one");
        counts.Skip(2).Count(count => count > 0).Should().BeLessThanOrEqualTo(1, "it is known to be slow, and asked by the one read in 32 that asks everybody");

        cluster.LostOnWayTo.Clear();
        cluster.Tick(60);
        for (int i = 0; i < 640; i++)
        {
            Read(cluster);
        }

        Enumerable.Range(0, 8).Select(_ => Read(cluster)).Should().Contain(asked => asked.SequenceEqual(new[] { 2u }), "it was found to be fast again");
    }

    [Fact]
    public void One_that_can_not_be_reached_is_not_asked_first()
    {
        ReplicaCluster cluster = Cluster(3);
        cluster.Cut(3);
        for (int i = 0; i < 8; i++)
        {
            Read(cluster).First().Should().Be(2);
        }
    }

    [Fact]
    public void When_the_one_that_was_asked_goes_down_the_others_are_asked_at_once()
    {
        ReplicaCluster cluster = Cluster(3);
        cluster.Lost.Add(nameof(DottedMessageKind.ReadResponse));
        cluster.Sent.Clear();
        ulong handle = cluster.SubmitOnly(cluster[1], Quorum());
        cluster.Settle();
        List<uint> first = Asked(cluster);
        cluster.Lost.Clear();
        if (first.Count == 1)
        {
            cluster.Cut(first[0]);
            cluster.Settle();
        }

        first.Should().ContainSingle();
        Asked(cluster).Should().BeEquivalentTo([2u, 3u]);
        TextOf(cluster.Answers[handle]).Should().Be("v", "no tick has passed");
    }

    [Fact]
    public void Whatever_replica_is_asked_a_write_on_a_majority_is_found_and_whoever_lacks_it_is_repaired()
    {
        ReplicaCluster cluster = Cluster(3);
        cluster.LostOnWayTo.Add((1, nameof(DottedMessageKind.Replicate)));
        cluster.Lost.UnionWith([nameof(DottedMessageKind.ClockAdvertised)]);
        cluster.Put(cluster[2], "k", "new").Outcome.Should().Be(Outcome.Done);
        TextOf(cluster.Get(cluster[1], "k", ReadLevel.Eventual)).Should().Be("v", "it has not come here");
        for (int i = 0; i < 4; i++)
        {
            TextOf(cluster.Get(cluster[1], "k", ReadLevel.Quorum)).Should().Be("new");
        }

        TextOf(cluster.Get(cluster[1], "k", ReadLevel.Eventual)).Should().Be("new", "the read has started a pull");
    }

    private static ClientOperation Quorum() => new() { Kind = OperationKind.Get, Level = ReadLevel.Quorum, Key = "k"u8.ToArray() };

    private static ReplicaCluster Cluster(int replicas)
    {
        ReplicaCluster cluster = new(replicas, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "v").Outcome.Should().Be(Outcome.Done);

        // All have told that they are whole.
        cluster.Tick(40);
        return cluster;
    }

    private static List<uint> Read(ReplicaCluster cluster)
    {
        cluster.Sent.Clear();
        cluster.Submit(cluster[1], Quorum()).Found.Should().BeTrue();
        return Asked(cluster);
    }

    private static List<uint> Asked(ReplicaCluster cluster) => [.. cluster.Sent.Where(sent => sent.Kind == Request).Select(sent => sent.To)];
}

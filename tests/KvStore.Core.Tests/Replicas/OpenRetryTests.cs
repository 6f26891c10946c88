using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>The same request id, sent again to the replica of an open shard that coordinated it.</summary>
public class OpenRetryTests
{
    private static readonly RequestId Request = new(9, 1, 0);

    [Fact]
    public void A_retry_of_a_write_that_ran_out_of_time_is_unknown_too_and_makes_no_second_one()
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap);
        cluster.Elect(1);

        // Both peers seem to be there, and nothing that is told them arrives: the write waits for them until its deadline.
        cluster.Lost.UnionWith([nameof(DottedMessageKind.Replicate), nameof(DottedMessageKind.PullPage)]);
        Completion first = cluster.Put(cluster[1], "k", "v", Request);
        (first.Outcome, first.Code).Should().Be((Outcome.Unknown, RefusalCode.DeadlineExceeded));

        Completion again = cluster.Put(cluster[1], "k", "v", Request);
        (again.Outcome, again.Code).Should().Be((Outcome.Unknown, RefusalCode.DeadlineExceeded), "nobody has confirmed it since");

        cluster.Lost.Clear();
        cluster.TickUntil(() => TextOf(cluster.Get(cluster[3], "k", ReadLevel.Eventual)) == "v", "it spreads");
        (cluster.Get(cluster[3], "k", ReadLevel.Quorum).Siblings?.Count ?? 1).Should().Be(1, "one request, one write");
        cluster.Put(cluster[1], "k", "v", Request).Outcome.Should().Be(Outcome.Unknown, "what was said once stays said");
    }

    [Theory]
    [InlineData(Replication.Sync)]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public void A_retry_at_another_replica_that_the_write_has_reached_is_done_under_the_same_dot(Replication replication)
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap, replication: replication);
        cluster.Elect(1);
        Completion first = cluster.Put(cluster[1], "k", "v", Request);
        cluster.Tick(40);

        Completion again = cluster.Put(cluster[2], "k", "v", Request);
        (again.Outcome, again.Degraded).Should().Be((Outcome.Done, false), "the peers have told that they hold it");
        ObjectVersion.Decode(again.Version).LiveDots.ToArray().Should().Equal(ObjectVersion.Decode(first.Version).LiveDots.ToArray());
        cluster.Put(cluster[2], "k", "v", Request).Version.ToArray().Should().Equal(again.Version.ToArray(), "and stays so");
        (cluster.Get(cluster[3], "k", ReadLevel.Quorum).Siblings?.Count ?? 1).Should().Be(1);
        Clocks(cluster).Should().ContainSingle("nothing was minted by the retry").Which.Should().Be(cluster[1].Status.Clock);
    }

    [Fact]
    public void A_retry_at_another_replica_takes_nothing_back_that_was_written_since()
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "first", Request).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[3], "k", "second").Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[2], "k", "first", Request).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(40);
        TextOf(cluster.Get(cluster[1], "k", ReadLevel.Quorum)).Should().Be("second");
    }

    [Fact]
    public void The_version_of_such_a_retry_speaks_of_its_own_write_only()
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "mine", Request);
        cluster.Submit(cluster[3], InContext("another", default)).Outcome.Should().Be(Outcome.Done);
        Completion again = cluster.Put(cluster[2], "k", "mine", Request);
        cluster.Submit(cluster[2], InContext("mine, later", again.Version)).Outcome.Should().Be(Outcome.Done);
        Completion read = cluster.Get(cluster[2], "k", ReadLevel.Quorum);
        read.Siblings!.Select(sibling => System.Text.Encoding.UTF8.GetString(sibling.Value.Span)).Should().BeEquivalentTo("another", "mine, later");
    }

    [Fact]
    public void A_delete_that_is_sent_again_at_another_replica_removes_nothing_that_was_written_since()
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap);
        cluster.Elect(1);
        var delete = new ClientOperation { Kind = OperationKind.Delete, Key = "k"u8.ToArray(), Request = Request };
        cluster.Put(cluster[1], "k", "old");
        cluster.Submit(cluster[1], delete).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[3], "k", "new");
        cluster.Submit(cluster[2], delete).Outcome.Should().Be(Outcome.Done);
        TextOf(cluster.Get(cluster[2], "k", ReadLevel.Quorum)).Should().Be("new");
    }

    [Fact]
    public void A_retry_where_only_this_replica_is_known_to_hold_the_write_says_that_it_is_degraded()
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.Lost.Add(nameof(DottedMessageKind.ClockAdvertised));
        cluster.LostOnWayTo.Add((3, nameof(DottedMessageKind.Replicate)));
        cluster.Put(cluster[1], "k", "v", Request).Degraded.Should().BeFalse();
        cluster.Cut(1);
        Completion again = cluster.Put(cluster[2], "k", "v", Request);
        (again.Outcome, again.Degraded, again.Acknowledgements).Should().Be((Outcome.Done, true, 1));
    }

    [Fact]
    public void A_retry_where_the_first_attempt_has_not_arrived_is_a_second_write()
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.LostOnWayTo.Add((2, nameof(DottedMessageKind.Replicate)));
        cluster.Lost.Add(nameof(DottedMessageKind.ClockAdvertised));
        cluster.Put(cluster[1], "k", "v", Request).Outcome.Should().Be(Outcome.Done);
        cluster.Put(cluster[2], "k", "v", Request).Outcome.Should().Be(Outcome.Done);
        cluster.Lost.Clear();
        cluster.LostOnWayTo.Clear();
        cluster.TickUntil(() => Clocks(cluster).Length == 1, "all are equal");
        cluster.Get(cluster[3], "k", ReadLevel.Quorum).Siblings!.Select(sibling => System.Text.Encoding.UTF8.GetString(sibling.Value.Span)).Should().Equal("v", "v");
    }

    private static ClientOperation InContext(string value, ReadOnlyMemory<byte> version) => new()
    {
        Kind = OperationKind.Put,
        Condition = WriteCondition.InContext,
        Version = version,
        Key = "k"u8.ToArray(),
        Value = System.Text.Encoding.UTF8.GetBytes(value),
    };

    private static string[] Clocks(ReplicaCluster cluster) => [.. new[] { 1u, 2u, 3u }.Select(node => cluster[node].Status.Clock).Distinct()];
}

using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
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
}

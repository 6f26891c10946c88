using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>C19: after the heal and before the merge, a session must not read older than it wrote.</summary>
public class ProvisionalSessionTests
{
    [Fact]
    public void A_session_that_wrote_provisionally_is_served_by_its_side_and_by_the_other_only_after_the_merge()
    {
        var cluster = new ReplicaCluster(5, PartitionChoice.Adaptive);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "before").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(20);
        var session = new SessionScript(cluster);
        TextOf(session.Get(4, "k")).Should().Be("before");
        cluster.Split(4, 5);
        cluster.TickUntil(() => cluster[4].Status.Regime == Regime.Provisional && cluster[5].Status.Regime == Regime.Provisional, "provisional service");

        session.Put(4, "k", "outside").Regime.Should().Be(Regime.Provisional);
        TextOf(session.Get(5, "k")).Should().Be("outside");
        session.Get(1, "k").Code.Should().Be(RefusalCode.SessionBehind, "the majority has not heard of it");
        session.Put(1, "k", "behind nothing").Code.Should().Be(RefusalCode.SessionBehind);

        cluster.Heal();
        var seen = new List<string>();
        cluster.TickUntil(
            () =>
            {
                Completion read = session.Get(2, "k");
                seen.Add(read.Outcome == Outcome.Done ? TextOf(read) : read.Code.ToString());
                return read.Outcome == Outcome.Done;
            },
            "the overlay is merged");
        seen[^1].Should().Be("outside");
        seen.Should().NotContain("before");
        session.Put(2, "k", "next").Outcome.Should().NotBe(Outcome.Unknown);
    }

    [Fact]
    public void How_old_a_provisional_answer_is_can_t_be_bounded()
    {
        var cluster = new ReplicaCluster(5, PartitionChoice.Adaptive);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "before");
        cluster.Tick(20);
        cluster.Split(4, 5);
        cluster.TickUntil(() => cluster[4].Status.Regime == Regime.Provisional, "provisional service");
        cluster.Submit(cluster[4], new ClientOperation { Kind = OperationKind.Get, Level = ReadLevel.Bounded, MaxStalenessMs = 500, Key = "k"u8.ToArray() })
            .Code.Should().Be(RefusalCode.TooStale);
    }
}

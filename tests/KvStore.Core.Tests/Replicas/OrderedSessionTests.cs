using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Sessions in ordered shards: positions are places in the log, and one that a failover replaced is never taken for kept.</summary>
public class OrderedSessionTests
{
    [Fact]
    public void A_follower_answers_when_it_has_applied_what_the_session_wrote()
    {
        ReplicaCluster cluster = Ordered(Replication.Sync, out SessionScript session);
        cluster.Cut(2);
        session.Put(1, "k", "mine");
        ulong read = session.BeginGet(2, "k");
        cluster.Settle();
        cluster.Answers.Keys.Should().NotContain(read, "it has heard nothing of the write");

        cluster.Heal();
        cluster.TickUntil(() => cluster.Answers.ContainsKey(read), "it was told");
        TextOf(cluster.Answers[read]).Should().Be("mine");
    }

    [Fact]
    public void A_follower_that_is_behind_passes_a_session_read_to_its_leader()
    {
        ReplicaCluster cluster = Ordered(Replication.Sync, out SessionScript session);
        cluster.Cut(2);
        session.Put(1, "k", "mine");
        cluster.Heal();
        var read = new ClientOperation { Kind = OperationKind.Get, Level = ReadLevel.Session, Key = "k"u8.ToArray(), Session = session.Position };
        cluster[2].Replica.BetterPlaceFor(read).Should().Be(cluster[1].Node);
        read.Session = SessionPosition.Empty.ToBytes();
        cluster[2].Replica.BetterPlaceFor(read).IsNone.Should().BeTrue("it has all that this session has seen");
    }

    [Fact]
    public void A_session_never_reads_older_than_it_has_read()
    {
        ReplicaCluster cluster = Ordered(Replication.Sync, out SessionScript session);
        cluster.Cut(3);
        cluster.Put(cluster[1], "k", "new");
        TextOf(session.Get(1, "k")).Should().Be("new");
        cluster.Heal();
        cluster.Cut(1);
        Completion answer = session.Get(3, "k");
        (answer.Outcome == Outcome.Done ? TextOf(answer) : answer.Code.ToString()).Should().BeOneOf("new", nameof(RefusalCode.SessionBehind));
        TextOf(cluster.Get(cluster[3], "other", ReadLevel.Eventual)).Should().Be("(none)");
    }

    [Theory]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public void A_session_whose_write_was_lost_in_a_failover_is_told_so_by_everybody_and_for_good(Replication replication)
    {
        ReplicaCluster cluster = Ordered(replication, out SessionScript session);
        cluster.Lost.Add(nameof(RaftMessageKind.Append));
        session.Put(1, "k", "lost").Outcome.Should().Be(Outcome.Done, "it was acknowledged early");
        session.Put(1, "k", "lost too").Outcome.Should().Be(Outcome.Done, "what is in the leader's log need not be applied for the next write");
        cluster.Cut(1);
        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster[2].Replica.IsLeader || cluster[3].Replica.IsLeader, "the others elect");
        ReplicaMachine leader = cluster[2].Replica.IsLeader ? cluster[2] : cluster[3];
        cluster.Put(leader, "k", "kept").Outcome.Should().Be(Outcome.Done);
        for (int i = 0; i < 5; i++)
        {
            cluster.Put(leader, "k", "kept");
        }

        uint node = leader.Node.Value;
        session.Get(node, "k").Code.Should().Be(RefusalCode.SessionLost);
        session.Put(node, "k", "behind a lost one").Code.Should().Be(RefusalCode.SessionLost);
        cluster.Heal();
        cluster.Tick(100);
        session.Get(1, "k").Code.Should().Be(RefusalCode.SessionLost, "its own log has been replaced");

        leader.LosePower();
        leader.Start();
        cluster.TickUntilLed();
        cluster.Tick(40);
        session.Get(node, "k").Code.Should().Be(RefusalCode.SessionLost, "where the terms began survives a restart");
    }

    [Fact]
    public void A_new_leader_that_lacks_an_early_acknowledged_write_says_so_before_it_has_written_anything_itself()
    {
        ReplicaCluster cluster = Ordered(Replication.Async, out SessionScript session);
        cluster.Lost.Add(nameof(RaftMessageKind.Append));
        session.Put(1, "k", "lost");
        cluster.Cut(1);
        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster[2].Replica.IsLeader || cluster[3].Replica.IsLeader, "the others elect");
        session.Get(cluster[2].Replica.IsLeader ? 2U : 3U, "k").Code.Should().Be(RefusalCode.SessionLost);
    }

    private static ReplicaCluster Ordered(Replication replication, out SessionScript session)
    {
        var cluster = new ReplicaCluster(3, replication: replication);
        cluster.Elect(1);
        cluster.Put(cluster[1], "first", "v").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(20);
        session = new SessionScript(cluster);
        return cluster;
    }
}

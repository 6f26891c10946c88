using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Sessions in open shards: whoever serves has what the session has seen, or says that it hasn't.</summary>
public class OpenSessionTests
{
    private static readonly string[] Spreading = [nameof(DottedMessageKind.Replicate), nameof(DottedMessageKind.PullPage)];

    [Fact]
    public void A_read_waits_for_what_its_session_wrote_elsewhere_and_is_woken_by_its_arrival()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        cluster.Lost.UnionWith(Spreading);
        session.Put(1, "k", "mine");
        ulong read = session.BeginGet(2, "k");
        cluster.Tick(8);
        cluster.Answers.Keys.Should().NotContain(read, "200 ms have passed, and it is not there");

        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster.Answers.ContainsKey(read), "the write was pulled");
        TextOf(cluster.Answers[read]).Should().Be("mine");
    }

    [Fact]
    public void A_replica_that_stays_behind_says_so_and_another_serves()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        cluster.Lost.UnionWith(Spreading);
        session.Put(1, "k", "mine");
        Completion refused = session.Get(2, "k");
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.SessionBehind));
        refused.Reason.Should().Contain("n2").And.Contain("1 writes");
        TextOf(session.Get(1, "k")).Should().Be("mine");
        TextOf(cluster.Get(cluster[2], "k", ReadLevel.Eventual)).Should().Be("(none)", "whoever has no session takes what there is");
    }

    [Fact]
    public void A_read_of_an_absent_key_counts_as_seen_too()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        cluster.Put(cluster[1], "k", "old");
        cluster.Tick(60);
        cluster.Lost.UnionWith(Spreading);
        cluster.SubmitOnly(cluster[1], new ClientOperation { Kind = OperationKind.Delete, Key = "k"u8.ToArray() });
        cluster.Settle();
        session.Get(1, "k").Found.Should().BeFalse();
        session.Get(2, "k").Code.Should().Be(RefusalCode.SessionBehind, "it still has the value");
    }

    [Fact]
    public void A_later_write_of_the_session_supersedes_its_earlier_one_wherever_it_lands()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        cluster.Lost.UnionWith(Spreading);
        session.Put(1, "k", "first");
        ulong second = session.BeginPut(2, "k", "second");
        cluster.Tick(2);
        cluster.Answers.Keys.Should().NotContain(second);
        cluster.Lost.Clear();
        cluster.TickUntil(() => cluster.Answers.ContainsKey(second), "what was read is there");
        session.Note(cluster.Answers[second]);

        Completion read = session.Get(3, "k");
        TextOf(read).Should().Be("second");
        read.Siblings.Should().BeNull();
    }

    [Fact]
    public void A_write_that_would_overtake_what_its_session_saw_has_no_effect()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        cluster.Lost.UnionWith(Spreading);
        session.Put(1, "k", "first");
        Completion refused = session.Put(2, "k", "second");
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.SessionBehind));
        cluster.Lost.Clear();
        cluster.Tick(60);
        TextOf(session.Get(2, "k")).Should().Be("first");
    }

    [Fact]
    public void What_every_replica_has_is_left_out_of_the_position()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        for (int i = 0; i < 20; i++)
        {
            session.Put((uint)(i % 3) + 1, $"k{i}", "v");
        }

        cluster.Tick(100);
        session.Get(2, "k0");
        SessionPosition.Decode(session.Position).Seen.IsEmpty.Should().BeTrue();
        session.Position.Length.Should().BeLessThan(8);
    }

    [Fact]
    public void A_replica_that_lost_its_disk_serves_no_session_until_it_is_whole()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        session.Put(1, "k", "v");
        cluster.Tick(60);
        session.Get(3, "k");
        var renewed = new ReplicaPlace(new NodeId(3), new ReplicaId(9));
        cluster[3].ComeBackEmpty(under: renewed.Replica);
        cluster.Lost.Add(nameof(DottedMessageKind.FullCopyPage));
        cluster.Tick(60);
        cluster.TickUntilLed();
        cluster.Change(Places(1, 2, 3), [renewed]).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        session.Get(3, "k").Code.Should().Be(RefusalCode.SessionBehind, "all replicas had the write, so the position does not name it: this one is known to lack something");

        cluster.Lost.Clear();
        cluster.TickUntil(() => session.Get(3, "k").Outcome == Outcome.Done, "it has copied everything");
        TextOf(session.Get(3, "k")).Should().Be("v");
    }

    [Fact]
    public void A_quorum_read_in_a_session_counts_what_it_joined()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        cluster.Lost.UnionWith(Spreading);
        cluster.SubmitOnly(cluster[1], new ClientOperation { Kind = OperationKind.Put, Key = "k"u8.ToArray(), Value = "there"u8.ToArray() });
        cluster.Settle();
        cluster.Cut(3);
        TextOf(session.Get(2, "k", ReadLevel.Quorum)).Should().Be("there");
        session.Get(2, "k").Code.Should().Be(RefusalCode.SessionBehind);
    }

    [Fact]
    public void A_damaged_position_is_a_bad_argument()
    {
        ReplicaCluster cluster = Open(out SessionScript session);
        session.Position = new byte[] { 7 };
        session.Get(1, "k").Code.Should().Be(RefusalCode.InvalidArgument);
    }

    private static ReplicaCluster Open(out SessionScript session)
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap, replication: Replication.Async);
        cluster.Elect(1);
        cluster.Tick(60);
        session = new SessionScript(cluster);
        return cluster;
    }
}

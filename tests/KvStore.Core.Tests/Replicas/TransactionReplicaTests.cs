using System.Buffers;
using System.Text;
using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Core.Versioning;
using Xunit;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Transactions as a replica takes them: when they are acknowledged, and what refuses them.</summary>
public sealed class TransactionReplicaTests
{
    [Theory]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public void A_transaction_is_acknowledged_when_it_is_committed_whatever_the_replication(Replication replication)
    {
        var leader = new ScriptedReplica(replication, new MaxLag(1 << 20, 60_000));
        leader.Lead();
        leader.Replica.Submit(Of(1, [], [Put("a", "1"), Put("b", "2")]) with { Handle = 77, DeadlineMs = 60_000 });
        leader.Turn();
        leader.Sync();
        leader.Answers.Should().BeEmpty("it is durable here only");

        leader.Confirm(new LogIndex(2));
        leader.Answers[77].Outcome.Should().Be(Outcome.Done);
        leader.Answers[77].Transaction!.Held.Should().BeTrue();
    }

    [Fact]
    public void What_has_expired_by_the_leaders_clock_is_absent_to_a_transaction()
    {
        ReplicaCluster cluster = Cluster(PartitionChoice.Cp);
        cluster.Put(cluster[1], "k", "v", ttlMs: 2_000);
        ClientOperation take = Of(0, [new Comparison(ComparisonKind.Absent, Key.FromText("k"))], [Put("k", "mine")]);
        cluster.Wait(1_900);
        cluster.Submit(cluster[1], take).Transaction!.Held.Should().BeFalse();

        cluster.PassTime(101);
        cluster.Submit(cluster[1], take).Transaction!.Held.Should().BeTrue("the leader puts the expiry in front");
    }

    [Fact]
    public void After_the_shard_was_opened_a_retry_is_answered_as_it_was_and_a_new_one_is_refused()
    {
        ReplicaCluster cluster = Cluster(PartitionChoice.Cp);
        Epoch before = cluster[1].Replica.CurrentRegime.Epoch;
        ClientOperation once = Of(1, [new Comparison(ComparisonKind.Absent, Key.FromText("k"))], [Put("k", "1")]) with { Epoch = before };
        Completion first = cluster.Submit(cluster[1], once);
        first.Outcome.Should().Be(Outcome.Done);
        cluster.ChangeMode(new KeyspaceMode(PartitionChoice.Ap, Replication.Sync)).Outcome.Should().Be(Outcome.Done);

        Completion again = cluster.Submit(cluster[1], once);
        again.Outcome.Should().Be(Outcome.Done);
        again.Transaction!.Held.Should().BeTrue();
        again.OrderedVersion.Should().Be(first.OrderedVersion);

        Completion refused = cluster.Submit(cluster[1], Of(2, [], [Put("k", "2")]));
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.LevelNotOffered));
        refused.Reason.Should().Contain("A transaction needs one order of all writes");
    }

    [Fact]
    public void A_transaction_that_no_replica_could_apply_is_refused_before_it_is_proposed()
    {
        ReplicaCluster cluster = Cluster(PartitionChoice.Cp);
        LogIndex last = cluster[1].Status.LastIndex;
        cluster.Submit(cluster[1], Of(1, [], [Put("k", "1"), Put("k", "2")])).Code.Should().Be(RefusalCode.InvalidArgument);
        cluster.Submit(cluster[1], Of(2, [new Comparison(ComparisonKind.VersionIs, Key.FromText("k"), "?"u8.ToArray())], [Put("k", "1")])).Code.Should().Be(RefusalCode.InvalidArgument);
        cluster.Submit(cluster[1], Of(3, [], [Put("k", "1")]) with { Condition = WriteCondition.IfAbsent }).Code.Should().Be(RefusalCode.InvalidArgument);
        cluster[1].Status.LastIndex.Should().Be(last);
    }

    /// <summary>While dots are missing below some that are accounted for, a write keeps in the record what it superseded above them: by itself or in a transaction.</summary>
    [Theory]
    [InlineData(OperationKind.Put)]
    [InlineData(OperationKind.Delete)]
    public void A_step_of_a_transaction_leaves_the_same_record_as_the_write_alone(OperationKind kind)
    {
        var step = new TransactionStep(kind, Key.FromText("k"), kind == OperationKind.Put ? "new"u8.ToArray() : default);
        var alone = new ClientOperation { Kind = kind, Key = step.Key.Bytes, Value = step.Value };
        byte[] byItself = RecordAfter(alone);
        byItself.Should().NotBeEmpty("there is a context to keep");
        RecordAfter(Of(0, [], [step])).Should().Equal(byItself);
    }

    private static byte[] RecordAfter(ClientOperation operation)
    {
        var storage = new ScriptedStorage();
        var machine = new KvStateMachine(storage, OrderedShard.Regimes(storage), new ExpiryIndex(new ReplicaClock()));
        var above = new Dot(new ActorId(100_001), 3);
        var held = new ArrayBufferWriter<byte>();
        DottedObject.Single(new DottedValue(above, HybridTimestamp.FromPhysical(1), "merged"u8.ToArray()), VersionVector.Empty).Encode(held);
        storage.Put(RecordSpace.Data, "k"u8, held.WrittenMemory);
        machine.Accounted.Add(above);
        machine.Accounted.HasGaps.Should().BeTrue();

        byte[] payload = new byte[WriteCommand.SizeOf(operation)];
        WriteCommand.Encode(payload, operation, LogIndex.Zero, HybridTimestamp.FromPhysical(1_000).Packed, new Epoch(1));
        machine.TryApply(new Entry(new Term(1), new LogIndex(5), EntryKind.Data, payload), out ApplyResult result).Should().BeTrue();
        result.Outcome.Should().Be(Outcome.Done);
        storage.Find(RecordSpace.Data, "k"u8, out ReadOnlyMemory<byte> record);
        return record.ToArray();
    }

    private static TransactionStep Put(string key, string value) => new(OperationKind.Put, Key.FromText(key), Encoding.UTF8.GetBytes(value));

    private static ClientOperation Of(ulong sequence, Comparison[] comparisons, TransactionStep[] then) => new()
    {
        Kind = OperationKind.Transaction,
        Key = then[0].Key.Bytes,
        Value = new Transaction(comparisons, then, []).Encode(),
        Request = sequence == 0 ? RequestId.None : new RequestId(9, sequence, 0),
    };

    private static ReplicaCluster Cluster(PartitionChoice partition)
    {
        var cluster = new ReplicaCluster(3, partition);
        cluster.Elect(1);
        cluster.Tick(60);
        return cluster;
    }
}

using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>When an async or best-effort leader may say "done" before the commit, and where it stands when that is lost.</summary>
public class EarlyAcknowledgementTests
{
    private static readonly MaxLag Wide = new(1 << 20, 60_000);

    private static Entry Empty(ulong term, ulong index) => new(new Term(term), new LogIndex(index), EntryKind.Empty, default);

    [Theory]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public void A_retry_of_a_request_that_is_in_the_log_unapplied_waits_for_the_apply_and_gets_its_version(Replication replication)
    {
        var leader = new ScriptedReplica(replication, Wide);
        leader.Lead(commit: false);
        ulong first = leader.Put("k", sequence: 1);
        leader.Sync();
        leader.Answers.Should().NotContainKey(first, "nothing of this term is applied yet");

        leader.Confirm(new LogIndex(1));
        ulong again = leader.Put("k", sequence: 1);
        leader.Sync();
        leader.Answers.Should().NotContainKey(again, "the first attempt has the effect, and gives the version");

        leader.Confirm(new LogIndex(3));
        leader.Answers[again].Outcome.Should().Be(Outcome.Done);
        leader.Answers[again].OrderedVersion.Should().Be(new LogIndex(2));
    }

    [Fact]
    public void An_id_that_a_conditional_write_on_its_way_has_used_is_not_acknowledged_early_for_another_write()
    {
        var leader = new ScriptedReplica(Replication.BestEffort, Wide);
        leader.Lead();
        leader.Put("k", sequence: 1, condition: WriteCondition.IfAbsent);
        ulong other = leader.Put("k", sequence: 1, value: "other");
        leader.Answers.Should().BeEmpty();

        leader.Sync();
        leader.Confirm(new LogIndex(3));
        leader.Answers[other].Code.Should().Be(RefusalCode.RequestReused);
        leader.Answers[other].Outcome.Should().Be(Outcome.NotDone);
    }

    [Theory]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public void Past_the_bytes_of_max_lag_writes_are_acknowledged_when_they_are_committed(Replication replication)
    {
        int size = WriteCommand.SizeOf(1, 1);
        var leader = new ScriptedReplica(replication, new MaxLag(2 * size, 60_000));
        leader.Lead();
        ulong[] puts = [leader.Put("a"), leader.Put("b"), leader.Put("c")];
        leader.Sync();
        leader.Answers.Keys.Should().Equal(puts[..2]);

        leader.Confirm(new LogIndex(4));
        leader.Answers.Keys.Should().Equal(puts);
        ulong next = leader.Put("d");
        leader.Sync();
        leader.Answers.Should().ContainKey(next, "what was ahead is committed");
    }

    [Fact]
    public void While_the_oldest_waits_for_longer_than_max_lag_nothing_else_is_acknowledged_early()
    {
        var leader = new ScriptedReplica(Replication.BestEffort, new MaxLag(1 << 20, 100));
        leader.Lead();
        leader.Answers.Should().NotContainKey(leader.Put("a") + 1);
        leader.Wait(100);
        ulong late = leader.Put("b");
        leader.Answers.Keys.Should().Equal(late - 1);
    }

    [Fact]
    public void A_conditional_write_waits_for_its_commit()
    {
        var leader = new ScriptedReplica(Replication.BestEffort, Wide);
        leader.Lead();
        leader.Put("k", condition: WriteCondition.IfAbsent);
        leader.Sync();
        leader.Answers.Should().BeEmpty();
    }

    [Theory]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public void What_was_acknowledged_and_is_replaced_stands_in_the_log_before_what_replaces_it(Replication replication)
    {
        var leader = new ScriptedReplica(replication, new MaxLag(2 * WriteCommand.SizeOf(1, 1), 60_000));
        leader.Lead();
        leader.Put("a");
        leader.Put("b");
        leader.Put("c");
        leader.Sync();

        leader.Append(new Term(2), new LogIndex(2), new Term(1), new LogIndex(2), Empty(2, 3));
        leader.LostKeys.Should().Equal("b");
        LogRecordKind[] kinds = [.. leader.Storage.Log.Select(record => record.Kind)];
        int lost = Array.LastIndexOf(kinds, LogRecordKind.LostWrite);
        leader.Storage.Log[(lost + 1)..].Should().ContainSingle(record => record.Kind == LogRecordKind.Entry && record.Term == new Term(2));
        LostWrite write = leader.Replica.LostWrites.Read(0, int.MaxValue)[0];
        (write.Index, write.Term, write.Doubts, write.AcknowledgedMs).Should().Be((new LogIndex(3), new Term(1), LostWriteDoubts.None, 1_000UL));
    }

    [Fact]
    public void A_sync_leader_has_nothing_to_lose()
    {
        var leader = new ScriptedReplica(Replication.Sync, Wide);
        leader.Lead();
        leader.Put("a");
        leader.Sync();
        leader.Append(new Term(2), new LogIndex(1), new Term(1), new LogIndex(1), Empty(2, 2));
        leader.LostKeys.Should().BeEmpty();
    }

    [Fact]
    public void After_a_restart_own_proposals_are_journaled_when_they_are_replaced_and_those_of_others_are_not()
    {
        var before = new ScriptedReplica(Replication.Async, Wide);
        before.Lead();
        before.Put("a");
        before.Sync();
        byte[] foreign = before.Storage.Log.Last(record => record.Kind == LogRecordKind.Entry).Payload.ToArray();
        WriteCommand.MarkEarly(foreign, WriteCommand.EarlyMarkOf(new ReplicaId(2)));
        before.Storage.Append(LogRecordKind.Entry, new Term(1), new LogIndex(3), foreign, SyncUrgency.Now);

        var after = new ScriptedReplica(Replication.Async, Wide, before.Storage.Log);
        after.Append(new Term(2), new LogIndex(1), new Term(1), new LogIndex(1), Empty(2, 2));
        after.LostKeys.Should().Equal("a");
        after.Replica.LostWrites.Read(0, int.MaxValue)[0].Doubts.Should().Be(LostWriteDoubts.Acknowledgement);
    }

    [Fact]
    public void The_journal_survives_a_restart_without_doubling_and_stays_cleared()
    {
        ScriptedReplica old = Deposed(out List<RecoveredRecord> log);
        var again = new ScriptedReplica(Replication.Async, Wide, log);
        again.LostKeys.Should().Equal("a", "b");
        again.Replica.LostWrites.Found.Should().Be(0, "they were counted before");

        again.Replica.ClearLostWrites(1).Should().Be(1);
        log.AddRange(again.Storage.Log);
        new ScriptedReplica(Replication.Async, Wide, log).LostKeys.Should().Equal("b");
        old.LostKeys.Should().Equal("a", "b");
    }

    [Fact]
    public void An_entry_that_is_committed_after_all_leaves_the_journal()
    {
        ScriptedReplica old = Deposed(out List<RecoveredRecord> log);
        RecoveredRecord a = log.First(record => record is { Kind: LogRecordKind.Entry, Index.Value: 2 });

        // Figure 8: a leader of term 3 has a copy of the first write, and not the entry that had replaced it here.
        old.Append(new Term(3), new LogIndex(1), new Term(1), new LogIndex(3), new Entry(a.Term, a.Index, EntryKind.Data, a.Payload), Empty(3, 3));
        old.LostKeys.Should().Equal("b");
    }

    [Theory]
    [InlineData(2, "c d")]
    [InlineData(4, "a b c d")]
    [InlineData(0, "d")]
    public void Past_its_bytes_the_journal_drops_the_oldest_and_counts_them_and_a_restart_comes_to_the_same(int room, string kept)
    {
        int record = (int)(Deposed(out _).Replica.LostWrites.Bytes / 2);
        var options = new ReplicaOptions { LostWriteBytes = Math.Max(1, room * record) };
        var leader = new ScriptedReplica(Replication.Async, Wide, options: options);
        leader.Lead();
        foreach (string key in (string[])["a", "b", "c", "d"])
        {
            leader.Put(key);
        }

        leader.Sync();
        leader.Append(new Term(2), new LogIndex(1), new Term(1), new LogIndex(1), Empty(2, 2));
        ulong dropped = (ulong)(4 - kept.Split(' ').Length);
        leader.LostKeys.Should().Equal(kept.Split(' '), "the newest stays, however small the room");
        (leader.Replica.LostWrites.Found, leader.Replica.LostWrites.Dropped).Should().Be((4, dropped));

        var again = new ScriptedReplica(Replication.Async, Wide, [.. leader.Storage.Log], options);
        again.LostKeys.Should().Equal(kept.Split(' '));
        again.Replica.LostWrites.Dropped.Should().Be(dropped);
    }

    /// <summary>A leader that had acknowledged a and b, and has been told of another's entry in their place.</summary>
    private static ScriptedReplica Deposed(out List<RecoveredRecord> log)
    {
        var leader = new ScriptedReplica(Replication.Async, Wide);
        leader.Lead();
        leader.Put("a");
        leader.Put("b");
        leader.Sync();
        leader.Append(new Term(2), new LogIndex(1), new Term(1), new LogIndex(1), Empty(2, 2));
        log = [.. leader.Storage.Log];
        return leader;
    }
}

using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

public class RecoveredLogTests
{
    private static RecoveredRecord Entry(ulong term, ulong index) => new(LogRecordKind.Entry, new Term(term), new LogIndex(index), new byte[] { 1 });

    private static RecoveredRecord Snapshot(ulong term, ulong index) => new(LogRecordKind.SnapshotInstalled, new Term(term), new LogIndex(index), default);

    private static RecoveredRecord State(ulong term, ulong vote) =>
        new(LogRecordKind.HardState, new Term(term), default, RecoveredLog.EncodeHardState(new HardState(new Term(term), new ReplicaId(vote), default)));

    private static RaftRecoveredState Read(ulong applied, ulong appliedTerm, params RecoveredRecord[] records) =>
        RecoveredLog.Read(new RecoveredReplica(new ViewPosition(new LogIndex(applied), new Term(appliedTerm), 0), records));

    private static ulong[] Indexes(RaftRecoveredState state) => [.. state.Entries.ToArray().Select(entry => entry.Index.Value)];

    [Fact]
    public void The_last_hard_state_counts() => Read(0, 0, State(1, 2), State(3, 1)).HardState.Should().Be(new HardState(new Term(3), new ReplicaId(1), default));

    [Fact]
    public void A_later_entry_replaces_its_index_and_all_above() =>
        Read(0, 0, Entry(1, 1), Entry(1, 2), Entry(1, 3), Entry(2, 2)).Entries.ToArray().Select(entry => (entry.Index.Value, entry.Term.Value)).Should().Equal((1, 1), (2, 2));

    [Fact]
    public void Entries_at_and_below_the_view_serve_as_boundary()
    {
        RaftRecoveredState state = Read(2, 1, Entry(1, 1), Entry(1, 2), Entry(1, 3));

        state.BoundaryIndex.Should().Be(new LogIndex(1));
        Indexes(state).Should().Equal(2, 3);
        state.Applied.Should().Be(new LogIndex(2));
    }

    [Fact]
    public void A_log_that_ends_below_the_view_is_of_no_use()
    {
        RaftRecoveredState state = Read(5, 2, Entry(1, 1), Entry(1, 2));

        state.BoundaryIndex.Should().Be(new LogIndex(5));
        Indexes(state).Should().BeEmpty();
    }

    [Fact]
    public void A_carried_copy_of_a_snapshot_record_voids_nothing_again() => Indexes(Read(5, 2, Entry(1, 1), Snapshot(2, 5), Entry(2, 6), Snapshot(2, 5), Entry(2, 7))).Should().Equal(6, 7);

    [Fact]
    public void A_snapshot_voids_the_entries_before_it() => Indexes(Read(5, 2, Entry(1, 5), Entry(1, 6), Snapshot(2, 5), Entry(2, 6))).Should().Equal(6);

    [Fact]
    public void A_missing_entry_behind_the_view_stops_the_replica()
    {
        Action read = () => Read(2, 1, Entry(1, 5));

        read.Should().Throw<InvariantViolationException>();
    }
}

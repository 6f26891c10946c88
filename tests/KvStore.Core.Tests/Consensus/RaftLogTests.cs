using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

public sealed class RaftLogTests
{
    [Fact]
    public void A_new_log_is_empty_behind_its_boundary()
    {
        RaftLog log = Log(5, 2);
        Ends(log).Should().Be((5, 6, 5, 2));
        log.TermAt(At(4)).Should().Be(TermLookup.Compacted);
        log.TermAt(At(5)).Should().Be(TermLookup.Of(new Term(2)));
        log.TermAt(At(6)).Should().Be(TermLookup.Unavailable);
    }

    [Fact]
    public void Entries_stand_at_their_index_and_terms_at_both_ends_are_known()
    {
        RaftLog log = Log(5, 2, 2, 3, 3);
        Ends(log).Should().Be((5, 6, 8, 3));
        log.TermAt(At(6)).Should().Be(TermLookup.Of(new Term(2)));
        log.TermAt(At(8)).Should().Be(TermLookup.Of(new Term(3)));
        log.TermAt(At(9)).Should().Be(TermLookup.Unavailable);
        log[At(6)].Index.Should().Be(At(6));
        log[At(8)].Index.Should().Be(At(8));
        Breaks(() => log[At(5)].Index);
        Breaks(() => log[At(9)].Index);
    }

    [Fact]
    public void A_term_is_only_what_is_known_to_be_it()
    {
        TermLookup.Of(new Term(2)).Is(new Term(2)).Should().BeTrue();
        TermLookup.Of(new Term(2)).Is(new Term(3)).Should().BeFalse();
        TermLookup.Compacted.Is(Term.Zero).Should().BeFalse("a compacted term is never taken for term 0");
        TermLookup.Unavailable.Is(Term.Zero).Should().BeFalse();
    }

    [Fact]
    public void Gaps_and_terms_that_go_back_break_an_invariant()
    {
        RaftLog log = Log(0, 0, 2);
        Breaks(() => Append(log, 3, 2));
        Breaks(() => Append(log, 1, 2));
        Breaks(() => Append(log, 2, 1));
        Append(log, 2, 2);
        Breaks(() => new RaftLog(LogIndex.Zero, new Term(1), []));
    }

    [Fact]
    public void The_more_complete_log_has_the_later_term_or_the_same_and_is_as_long()
    {
        RaftLog log = Log(0, 0, 1, 2, 2);
        log.IsAtMost(At(1), new Term(3)).Should().BeTrue();
        log.IsAtMost(At(3), new Term(2)).Should().BeTrue();
        log.IsAtMost(At(4), new Term(2)).Should().BeTrue();
        log.IsAtMost(At(2), new Term(2)).Should().BeFalse();
        log.IsAtMost(At(9), new Term(1)).Should().BeFalse();
    }

    [Fact]
    public void A_truncation_keeps_what_is_below()
    {
        RaftLog log = Log(5, 2, 2, 3, 3);
        log.TruncateFrom(At(7));
        Ends(log).Should().Be((5, 6, 6, 2));
        Append(log, 7, 4);
        log.TermAt(At(7)).Term.Should().Be(new Term(4));
        Breaks(() => log.TruncateFrom(At(5)));
        Breaks(() => log.TruncateFrom(At(8)));
        log.TruncateFrom(At(6));
        Ends(log).Should().Be((5, 6, 5, 2));
    }

    [Fact]
    public void A_compaction_moves_the_boundary_with_its_term()
    {
        RaftLog log = Log(0, 0, 1, 2, 3);
        log.CompactTo(At(2));
        Ends(log).Should().Be((2, 3, 3, 3));
        log.TermAt(At(2)).Should().Be(TermLookup.Of(new Term(2)));
        log[At(3)].Term.Should().Be(new Term(3));
        Breaks(() => log.CompactTo(At(2)));
        Breaks(() => log.CompactTo(At(4)));
        log.CompactTo(At(3));
        Ends(log).Should().Be((3, 4, 3, 3));
        Append(log, 4, 3);
        log[At(4)].Index.Should().Be(At(4));
    }

    [Fact]
    public void A_reset_forgets_everything()
    {
        RaftLog log = Log(0, 0, 1, 2, 3);
        log.CompactTo(At(1));
        log.ResetTo(At(9), new Term(4));
        Ends(log).Should().Be((9, 10, 9, 4));
        Append(log, 10, 4);
        log[At(10)].Index.Should().Be(At(10));
    }

    [Fact]
    public void A_slice_holds_both_its_ends_and_is_empty_when_they_are_crossed()
    {
        RaftLog log = Log(5, 1, 1, 1, 1);
        Indexes(log.Slice(At(6), At(8))).Should().Equal(6, 7, 8);
        Indexes(log.Slice(At(7), At(7))).Should().Equal(7);
        Indexes(log.Slice(At(8), At(7))).Should().BeEmpty();
        Indexes(log.Slice(At(3), At(2))).Should().BeEmpty();
        Breaks(() => log.Slice(At(5), At(6)));
        Breaks(() => log.Slice(At(6), At(9)));
    }

    [Fact]
    public void A_slice_by_bytes_ends_before_the_entry_that_would_pass_the_limit()
    {
        RaftLog log = Log(0, 0, 1, 1, 1);
        int size = log[At(1)].Size;
        Sliced(log, 2 * size).Should().Be((2, 2 * size));
        Sliced(log, (2 * size) - 1).Should().Be((1, size));
        Sliced(log, 3 * size).Should().Be((3, 3 * size));
        Sliced(log, 1).Should().Be((1, size), "one entry always goes");
        log.SliceOfBytes(At(4), At(3), 100, out int none).Length.Should().Be(0);
        none.Should().Be(0);
        new Entry(default, default, EntryKind.Data, new byte[10]).Size.Should().Be(34);
    }

    [Fact]
    public void The_search_for_a_meeting_point_skips_terms_that_cannot_match()
    {
        RaftLog log = Log(5, 1, 2, 2, 4);
        log.LastIndexNotAboveTerm(At(8), new Term(4)).Should().Be(At(8));
        log.LastIndexNotAboveTerm(At(8), new Term(3)).Should().Be(At(7));
        log.LastIndexNotAboveTerm(At(8), new Term(2)).Should().Be(At(7));
        log.LastIndexNotAboveTerm(At(6), new Term(2)).Should().Be(At(6));
        log.LastIndexNotAboveTerm(At(20), new Term(9)).Should().Be(At(8), "nothing is above the end");
        log.LastIndexNotAboveTerm(At(8), new Term(1)).Should().Be(At(5), "it ends at the boundary");
        log.LastIndexNotAboveTerm(At(8), Term.Zero).Should().Be(At(5));
        log.LastIndexNotAboveTerm(At(3), new Term(2)).Should().Be(At(3), "nothing is known below the boundary");
    }

    [Fact]
    public void Room_is_made_for_any_number_of_entries_with_or_without_compaction()
    {
        RaftLog log = Log(0, 0);
        for (ulong i = 1; i <= 200; i++)
        {
            Append(log, i, i);
            if (i % 7 == 0)
            {
                log.CompactTo(At(i - 3));
            }
        }

        Indexes(log.Slice(log.FirstIndex, log.LastIndex)).Should().Equal(194, 195, 196, 197, 198, 199, 200);
        RaftLog whole = Log(0, 0);
        for (ulong i = 1; i <= 200; i++)
        {
            Append(whole, i, i);
        }

        Indexes(whole.Slice(At(1), At(200))).Should().Equal(Enumerable.Range(1, 200).Select(i => (ulong)i));
        for (ulong i = 1; i <= 200; i++)
        {
            whole[At(i)].Term.Should().Be(new Term(i));
        }
    }

    private static LogIndex At(ulong index) => new(index);

    private static void Append(RaftLog log, ulong index, ulong term) => log.Append(new Entry(new Term(term), new LogIndex(index), EntryKind.Data, default));

    private static RaftLog Log(ulong boundary, ulong boundaryTerm, params ulong[] terms)
    {
        var log = new RaftLog(At(boundary), new Term(boundaryTerm), []);
        foreach (ulong term in terms)
        {
            Append(log, log.LastIndex.Next.Value, term);
        }

        return log;
    }

    private static (ulong Boundary, ulong First, ulong Last, ulong LastTerm) Ends(RaftLog log) =>
        (log.BoundaryIndex.Value, log.FirstIndex.Value, log.LastIndex.Value, log.LastTerm.Value);

    private static ulong[] Indexes(ReadOnlyMemory<Entry> entries) => [.. entries.ToArray().Select(entry => entry.Index.Value)];

    private static (int Count, int Bytes) Sliced(RaftLog log, int maxBytes)
    {
        int count = log.SliceOfBytes(log.FirstIndex, log.LastIndex, maxBytes, out int bytes).Length;
        return (count, bytes);
    }

    private static void Breaks(Action act) => act.Should().Throw<InvariantViolationException>();

    private static void Breaks<T>(Func<T> act) => act.Invoking(it => it()).Should().Throw<InvariantViolationException>();
}

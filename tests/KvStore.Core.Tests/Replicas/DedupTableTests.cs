using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

public class DedupTableTests
{
    private static DedupVerdict Apply(DedupTable table, RequestId request, uint hash = 1, ulong atMs = 0)
    {
        DedupVerdict verdict = table.Enter(request, hash, atMs, out _);
        if (verdict == DedupVerdict.New)
        {
            table.Remember(request, new RememberedResult(hash, RefusalCode.None, new LogIndex(1), Known: true), atMs);
        }

        return verdict;
    }

    [Fact]
    public void A_request_is_new_once()
    {
        var table = new DedupTable();

        Apply(table, new RequestId(5, 1, 0)).Should().Be(DedupVerdict.New);
        Apply(table, new RequestId(5, 1, 0)).Should().Be(DedupVerdict.Repeated);
        Apply(table, new RequestId(5, 1, 0), hash: 2).Should().Be(DedupVerdict.Reused);
    }

    [Fact]
    public void A_request_behind_the_floor_is_expired()
    {
        var table = new DedupTable();
        Apply(table, new RequestId(5, 4, 3));

        Apply(table, new RequestId(5, 2, 0)).Should().Be(DedupVerdict.Expired);
        Apply(table, new RequestId(5, 5, 5)).Should().Be(DedupVerdict.Expired);
    }

    [Fact]
    public void A_request_without_an_id_is_always_new()
    {
        var table = new DedupTable();

        Apply(table, RequestId.None).Should().Be(DedupVerdict.New);
        Apply(table, RequestId.None).Should().Be(DedupVerdict.New);
        table.Count.Should().Be(0);
    }

    [Fact]
    public void Too_many_unfinished_requests_are_refused_and_have_no_room()
    {
        var table = new DedupTable();
        Apply(table, new RequestId(5, 1, 0));

        table.HasRoomFor(new RequestId(5, SessionWindow.MaxSpan, 0)).Should().BeTrue();
        table.HasRoomFor(new RequestId(5, SessionWindow.MaxSpan + 1, 0)).Should().BeFalse();
        Apply(table, new RequestId(5, SessionWindow.MaxSpan + 1, 0)).Should().Be(DedupVerdict.Full);
    }

    [Fact]
    public void When_the_table_is_full_only_a_session_idle_for_an_hour_makes_room()
    {
        var table = new DedupTable();
        for (ulong session = 1; session <= DedupTable.MaxSessions; session++)
        {
            Apply(table, new RequestId(session, 1, 0), atMs: session);
        }

        table.HasRoomFor(new RequestId(99_999, 1, 0)).Should().BeFalse();
        Apply(table, new RequestId(99_999, 1, 0), atMs: DedupTable.IdleMs).Should().Be(DedupVerdict.Full);
        Apply(table, new RequestId(99_999, 1, 0), atMs: DedupTable.IdleMs + 1).Should().Be(DedupVerdict.New);
        Apply(table, new RequestId(1, 1, 0), atMs: DedupTable.IdleMs + 1).Should().Be(DedupVerdict.Full, "session 1 was the longest idle and is forgotten");
    }
}

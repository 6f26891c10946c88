using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>What bounds a leader's work for one follower: the ring of appends in flight, and the queue of reads.</summary>
public sealed class FlowControlTests
{
    [Fact]
    public void The_window_is_full_by_messages_or_by_bytes()
    {
        var byMessages = new Inflights(2, 100);
        byMessages.Add(At(1), 1);
        byMessages.IsFull.Should().BeFalse();
        byMessages.Add(At(2), 1);
        byMessages.IsFull.Should().BeTrue();
        FluentActions.Invoking(() => byMessages.Add(At(3), 1)).Should().Throw<InvariantViolationException>();

        var byBytes = new Inflights(9, 10);
        byBytes.Add(At(1), 9);
        byBytes.IsFull.Should().BeFalse();
        byBytes.Add(At(2), 1);
        byBytes.IsFull.Should().BeTrue();
        byBytes.Bytes.Should().Be(10);
    }

    [Fact]
    public void An_answer_frees_all_up_to_its_index_and_no_more()
    {
        var window = new Inflights(8, 100);
        window.Add(At(2), 10);
        window.Add(At(4), 20);
        window.Add(At(6), 30);
        window.FreeUpTo(At(1));
        (window.Count, window.Bytes).Should().Be((3, 60));
        window.FreeUpTo(At(4));
        (window.Count, window.Bytes).Should().Be((1, 30));
        window.FreeUpTo(At(9));
        (window.Count, window.Bytes).Should().Be((0, 0));
        FluentActions.Invoking(window.FreeFirst).Should().Throw<InvariantViolationException>();
    }

    [Fact]
    public void A_cleared_window_is_empty_and_counts_from_nothing()
    {
        var window = new Inflights(2, 100);
        window.Add(At(1), 60);
        window.FreeFirst();
        window.Add(At(2), 60);
        window.Clear();
        (window.Count, window.Bytes, window.IsFull).Should().Be((0, 0, false));
        window.Add(At(5), 7);
        window.FreeUpTo(At(4));
        window.Count.Should().Be(1);
        window.FreeUpTo(At(5));
        window.Bytes.Should().Be(0);
    }

    [Fact]
    public void The_ring_turns_and_grows_and_keeps_its_order()
    {
        var window = new Inflights(20, 1_000);
        for (ulong i = 1; i <= 5; i++)
        {
            window.Add(At(i), 1);
        }

        window.FreeUpTo(At(3));
        for (ulong i = 6; i <= 23; i++)
        {
            window.Add(At(i), (int)i);
        }

        window.IsFull.Should().BeTrue();
        for (ulong i = 4; i <= 23; i++)
        {
            window.Count.Should().Be(24 - (int)i);
            window.FreeUpTo(At(i));
        }

        (window.Count, window.Bytes).Should().Be((0, 0));
    }

    [Fact]
    public void Reads_that_wait_together_share_a_round()
    {
        var queue = new ReadIndexQueue(3, 2);
        queue.CanStartRound.Should().BeFalse();
        FluentActions.Invoking(() => queue.StartRound(At(1))).Should().Throw<InvariantViolationException>();
        Add(queue, 1).Should().BeTrue();
        Add(queue, 2).Should().BeTrue();
        queue.CanStartRound.Should().BeTrue();
        queue.StartRound(At(5));
        queue.CanStartRound.Should().BeFalse("nobody waits without a round");
        (queue.Newest, queue.Outstanding).Should().Be((1, 1));

        Add(queue, 3).Should().BeTrue();
        Add(queue, 4).Should().BeFalse("three wait already");
        queue.StartRound(At(6));

        Confirmed(queue, 0).Should().BeEmpty();
        Confirmed(queue, 1).Should().Equal((1, 5), (2, 5));
        queue.Outstanding.Should().Be(2);
        Confirmed(queue, 2).Should().Equal((3, 6));
        (queue.Newest, queue.Outstanding).Should().Be((2, 0));
    }

    [Fact]
    public void So_many_rounds_are_out_and_no_more()
    {
        var queue = new ReadIndexQueue(9, 2);
        for (ulong context = 1; context <= 2; context++)
        {
            Add(queue, context);
            queue.StartRound(At(context));
        }

        Add(queue, 3);
        Add(queue, 4);
        queue.CanStartRound.Should().BeFalse();
        Confirmed(queue, 2).Should().Equal((1, 1), (2, 2));
        queue.CanStartRound.Should().BeTrue();
        queue.StartRound(At(7));
        Confirmed(queue, 3).Should().Equal((3, 7), (4, 7));
    }

    [Fact]
    public void Whoever_waits_when_the_leadership_ends_is_told_so_once()
    {
        var queue = new ReadIndexQueue(9, 2);
        Add(queue, 1);
        Add(queue, 2);
        queue.StartRound(At(5));
        queue.TryTakeConfirmed(1, out _, out _).Should().BeTrue();
        Add(queue, 3);
        Any(queue).Should().Equal(2, 3);
        queue.Outstanding.Should().Be(0);
        queue.CanStartRound.Should().BeFalse();
        Confirmed(queue, 9).Should().BeEmpty();

        Add(queue, 4);
        Add(queue, 5);
        queue.StartRound(At(6));
        queue.Newest.Should().Be(2, "a number is never used again");
        Confirmed(queue, 2).Should().Equal((4, 6), (5, 6));
    }

    private static LogIndex At(ulong index) => new(index);

    private static bool Add(ReadIndexQueue queue, ulong number) => queue.TryAdd(new WaitingRead(number, new ReplicaId(1)));

    private static List<(ulong Number, ulong Index)> Confirmed(ReadIndexQueue queue, ulong round)
    {
        List<(ulong, ulong)> taken = [];
        while (queue.TryTakeConfirmed(round, out WaitingRead read, out LogIndex index))
        {
            taken.Add((read.Number, index.Value));
        }

        return taken;
    }

    private static List<ulong> Any(ReadIndexQueue queue)
    {
        List<ulong> taken = [];
        while (queue.TryTakeAny(out WaitingRead read))
        {
            taken.Add(read.Number);
        }

        return taken;
    }
}

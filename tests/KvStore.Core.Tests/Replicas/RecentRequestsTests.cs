using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

/// <summary>The last requests of clients, and what came of them.</summary>
public class RecentRequestsTests
{
    [Fact]
    public void The_last_so_many_are_remembered_and_the_oldest_goes_first()
    {
        RecentRequests<int> recent = new(capacity: 100);
        for (int i = 1; i <= 1_000; i++)
        {
            recent.Add(Request(i % 3, i), i, out int forgotten, out bool hasForgotten);
            (hasForgotten, forgotten).Should().Be(i > 100 ? (true, i - 100) : (false, 0));
            recent.Count.Should().Be(Math.Min(i, 100));
            recent.Find(Request(i % 3, i - 100)).Should().Be(-1);
            foreach (int known in new[] { i, Math.Max(1, i - 37), Math.Max(1, i - 99) })
            {
                recent.At(recent.Find(Request(known % 3, known))).Should().Be(known);
            }
        }
    }

    [Fact]
    public void A_repeated_request_is_known_with_what_came_of_it_until_so_many_others_came()
    {
        OpenRequests requests = new();
        ClientOperation first = Put(1);
        requests.TryRepeat(first, out _).Should().BeFalse();
        requests.Remember(first, pending: 7);
        requests.TryRepeat(first, out ulong pending).Should().BeTrue();
        pending.Should().Be(7);
        requests.AnswerOf(7).State.Should().Be(OpenAnswerState.Waiting);
        requests.NoteAnswer(7, new OpenAnswer(OpenAnswerState.Done, 2));
        requests.NoteAnswer(8, new OpenAnswer(OpenAnswerState.Done, 3));
        requests.AnswerOf(7).Acknowledgements.Should().Be(2);
        requests.AnswerOf(8).State.Should().Be(OpenAnswerState.Waiting, "nobody remembers that one");

        for (int i = 2; i <= OpenRequests.Capacity; i++)
        {
            requests.Remember(Put(i), pending: 7 + (ulong)i);
        }

        requests.TryRepeat(first, out _).Should().BeTrue();
        requests.Remember(Put(OpenRequests.Capacity + 1), pending: 100_000);
        requests.TryRepeat(first, out _).Should().BeFalse();
        requests.AnswerOf(7).State.Should().Be(OpenAnswerState.Waiting);
        requests.TryRepeat(Put(2), out pending).Should().BeTrue();
        pending.Should().Be(9);
    }

    [Fact]
    public void A_request_that_is_made_once_more_in_a_later_period_is_known_by_its_newer_number_only()
    {
        OpenRequests requests = new();
        requests.Remember(Put(1), pending: 7);
        requests.NoteAnswer(7, new OpenAnswer(OpenAnswerState.Done, 2));
        requests.Remember(Put(1), pending: 9);
        requests.TryRepeat(Put(1), out ulong pending).Should().BeTrue();
        pending.Should().Be(9);
        requests.AnswerOf(9).State.Should().Be(OpenAnswerState.Waiting);
        requests.NoteAnswer(7, new OpenAnswer(OpenAnswerState.Done, 5));
        requests.AnswerOf(7).State.Should().Be(OpenAnswerState.Waiting);
    }

    [Fact]
    public void Of_a_write_that_came_from_two_replicas_the_first_dot_counts()
    {
        OpenRequests requests = new();
        RequestId request = Request(1, 5);
        requests.TryFindElsewhere(request, out _).Should().BeFalse();
        requests.RememberElsewhere(request, new Dot(new ActorId(3), 4));
        requests.RememberElsewhere(request, new Dot(new ActorId(9), 1));
        requests.RememberElsewhere(RequestId.None, new Dot(new ActorId(9), 2));
        requests.TryFindElsewhere(request, out Dot dot).Should().BeTrue();
        dot.Should().Be(new Dot(new ActorId(3), 4));
        requests.TryFindElsewhere(RequestId.None, out _).Should().BeFalse();
    }

    private static RequestId Request(int session, int sequence) => new((ulong)session + 1, (ulong)Math.Max(0, sequence), 0);

    private static ClientOperation Put(int sequence) => new() { Kind = OperationKind.Put, Request = Request(1, sequence) };
}

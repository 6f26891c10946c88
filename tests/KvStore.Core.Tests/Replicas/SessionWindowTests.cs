using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

public class SessionWindowTests
{
    private static RememberedResult Result(uint hash) => new(hash, RefusalCode.None, new LogIndex(hash), Known: true);

    [Fact]
    public void A_result_is_remembered_until_the_floor_passes_it()
    {
        var window = new SessionWindow(1, new RememberedAnswers());
        window.TryRemember(3, Result(30), 0).Should().BeTrue();
        window.TryRemember(5, Result(50), 0).Should().BeTrue();

        window.Raise(4);

        window.Find(5).PayloadHash.Should().Be(50);
        window.Find(6).Known.Should().BeFalse();
    }

    [Fact]
    public void Growing_keeps_what_was_remembered()
    {
        var window = new SessionWindow(1, new RememberedAnswers());
        window.Raise(100);
        for (uint sequence = 101; sequence <= 400; sequence++)
        {
            window.TryRemember(sequence, Result(sequence), 0).Should().BeTrue();
        }

        for (uint sequence = 101; sequence <= 400; sequence++)
        {
            window.Find(sequence).PayloadHash.Should().Be(sequence);
        }
    }

    [Fact]
    public void A_sequence_too_far_above_the_floor_is_not_taken() =>
        new SessionWindow(1, new RememberedAnswers()).TryRemember(SessionWindow.MaxSpan + 1, Result(1), 0).Should().BeFalse();

    [Fact]
    public void A_floor_far_ahead_forgets_everything()
    {
        var window = new SessionWindow(1, new RememberedAnswers());
        window.TryRemember(7, Result(7), 0);

        window.Raise(1_000_007);

        window.Find(1_000_023).Known.Should().BeFalse();
    }

    [Fact]
    public void The_encoding_brings_everything_back()
    {
        var window = new SessionWindow(9, new RememberedAnswers());
        window.Raise(20);
        window.TryRemember(22, new RememberedResult(5, RefusalCode.ConditionFailed, new LogIndex(8), Known: true), 77);
        window.TryRemember(90, Result(90), 78);

        SessionWindow copy = SessionWindow.Decode(9, window.Encode(), new RememberedAnswers());

        copy.Floor.Should().Be(20);
        copy.LastUsed.Should().Be(78);
        copy.Find(22).Should().Be(window.Find(22));
        copy.Find(90).Should().Be(window.Find(90));
        copy.Encode().Should().Equal(window.Encode());
    }
}

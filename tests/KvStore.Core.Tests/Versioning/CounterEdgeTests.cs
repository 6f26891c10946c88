using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>Counters at the edges of their ranges and times; what holds whatever is joined is in <see cref="CounterLaws"/>.</summary>
public sealed class CounterEdgeTests
{
    private const long Today = 1_800_000_000_000;

    private static readonly Dot A1 = new(VersioningGen.Actors[1], 1);
    private static readonly Dot A2 = new(VersioningGen.Actors[1], 2);
    private static readonly Dot B1 = new(VersioningGen.Actors[2], 1);

    [Theory]
    [InlineData(CounterTotal.RememberMs, true)]
    [InlineData(CounterTotal.RememberMs + 1, false)]
    public void Requests_are_remembered_by_the_next_increment_for_so_long(long laterMs, bool remembered)
    {
        DottedObject first = Increment(DottedObject.Empty, A1, new RequestId(3, 1, 0), Today);
        DottedObject next = Increment(first, A2, new RequestId(3, 2, 0), Today + laterMs);
        DottedCounter.HasCounted(next, new RequestId(3, 1, 0)).Should().Be(remembered);
        DottedCounter.HasCounted(next, new RequestId(3, 2, 0)).Should().BeTrue();
    }

    [Fact]
    public void A_sum_out_of_range_is_shown_as_the_nearest_bound_on_either_side()
    {
        DottedCounter.Clamp((Int128)long.MaxValue + 1).Should().Be(long.MaxValue);
        DottedCounter.Clamp((Int128)long.MinValue - 1).Should().Be(long.MinValue);
        DottedCounter.Clamp(-7).Should().Be(-7);
    }

    [Fact]
    public void A_counter_expires_if_all_its_totals_do_whatever_stands_beside_it()
    {
        DottedObject counter = DottedObject.Empty.Write(Total(A1, expiresMs: 100)).Write(Total(B1, expiresMs: 200));
        DottedCounter.ExpiryOf(counter).Should().Be(200);
        DottedCounter.ExpiryOf(counter.Write(new DottedValue(new Dot(VersioningGen.Actors[3], 1), default, "x"u8.ToArray()))).Should().Be(200);
        DottedCounter.ExpiryOf(counter.Write(Total(A2, expiresMs: 0))).Should().Be(0, "one of its totals stays for ever");
        DottedCounter.ExpiryOf(DottedObject.Empty).Should().Be(0);
    }

    [Fact]
    public void An_increment_gives_no_expiry_to_a_counter_that_has_none()
    {
        DottedObject forEver = Increment(DottedObject.Empty, A1, default, Today);
        DottedObject next = DottedCounter.Increment(forEver, A2, default, _ => false, 1, default, HybridTimestamp.FromPhysical(Today), expiresMs: Today + 500).Object;
        next.NextExpiryMs.Should().Be(0);
    }

    [Fact]
    public void The_largest_total_that_can_be_is_encoded_and_one_request_more_is_not()
    {
        RequestId[] requests = [.. Enumerable.Range(0, CounterTotal.MaxRequests).Select(_ => new RequestId(ulong.MaxValue, ulong.MaxValue, 0))];
        CounterTotal read = CounterTotal.Decode(CounterTotal.Encode(long.MinValue, new ReplicaId(ulong.MaxValue), requests));
        (read.Total, read.Owner, read.RequestCount).Should().Be((long.MinValue, new ReplicaId(ulong.MaxValue), CounterTotal.MaxRequests));

        RequestId[] tooMany = [.. Enumerable.Range(1, CounterTotal.MaxRequests + 1).Select(i => new RequestId(1, (ulong)i, 0))];
        FluentActions.Invoking(() => CounterTotal.Encode(1, default, tooMany)).Should().Throw<InvariantViolationException>();
    }

    private static DottedObject Increment(DottedObject to, Dot dot, RequestId request, long atMs)
        => DottedCounter.Increment(to, dot, default, _ => false, 1, request, HybridTimestamp.FromPhysical(atMs), 0).Object;

    private static DottedValue Total(Dot dot, ulong expiresMs) => new(dot, HybridTimestamp.FromPhysical(1), CounterTotal.Encode(1)) { Form = ValueForm.Counter, ExpiresMs = expiresMs };
}

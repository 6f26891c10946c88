using CsCheck;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>Counters inside dotted objects: whatever is joined with whatever, in any order and any number of times, each increment counts once.</summary>
public sealed class CounterLaws
{
    private const int Holders = 4;

    private static readonly Gen<(int Kind, int At, int Other, int Delta)[]> Histories = Gen.Select(Gen.Int[0, 9], Gen.Int[0, Holders - 1], Gen.Int[0, Holders - 1], Gen.Int[-20, 20]).Array[0, 60];

    [Fact]
    public void Copies_that_are_joined_in_any_order_hold_the_sum_of_all_increments()
        => Histories.Sample(history =>
        {
            var world = new World();
            long sum = 0;
            foreach ((int kind, int at, int other, int delta) in history)
            {
                if (kind < 6)
                {
                    world.Increment(at, delta);
                    sum += delta;
                }
                else if (kind < 9)
                {
                    world.Pull(at, other);
                }
                else
                {
                    world.Restart(at);
                }
            }

            return world.Everything() == sum;
        });

    [Fact]
    public void A_request_that_is_retried_wherever_its_total_has_arrived_counts_once()
        => Histories.Sample(history =>
        {
            var world = new World();
            long sum = 0;
            ulong sequence = 0;
            foreach ((int kind, int at, int other, int delta) in history)
            {
                var request = new RequestId(5, ++sequence, 0);
                world.Increment(at, delta, request);
                sum += delta;
                if (kind < 5)
                {
                    world.Pull(other, at);
                    world.Increment(other, delta, request).Should().Be(IncrementStatus.Repeated);
                }

                world.Increment(at, delta, request).Should().Be(IncrementStatus.Repeated);
            }

            return world.Everything() == sum;
        });

    [Fact]
    public void However_often_replicas_restart_a_counter_keeps_one_total_for_each()
    {
        var world = new World();
        for (int round = 0; round < 50; round++)
        {
            for (int at = 0; at < Holders; at++)
            {
                world.Restart(at);
                world.Increment(at, 1);
            }

            for (int at = 0; at < Holders; at++)
            {
                world.Pull(at, (at + 1) % Holders);
            }
        }

        world.Everything().Should().Be(50 * Holders);
        world.Join().Values.Length.Should().Be(Holders);
        world.Join().SiblingCount.Should().Be(1, "the totals of a counter are one value");
    }

    [Fact]
    public void The_log_is_one_more_actor_an_overlay_that_is_merged_later_stays_exact()
    {
        // C12: 100 in the log, 5 provisionally over that, 10 more in the log, then the merge, twice.
        DottedObject atLog = Add(DottedObject.Empty, Dot.OfLog(new LogIndex(10)), 100);
        DottedObject overlay = Add(atLog, new Dot(VersioningGen.Actors[1], 1), 5);
        DottedObject later = Add(atLog, Dot.OfLog(new LogIndex(20)), 10);
        DottedObject merged = DottedObject.Sync(DottedObject.Sync(later, overlay), overlay);
        DottedCounter.SumOf(merged).Should().Be(115);

        DottedObject after = Add(merged, Dot.OfLog(new LogIndex(30)), 1);
        DottedCounter.SumOf(after).Should().Be(116);
        after.Values.Length.Should().Be(2, "the log moved its own total and left the replica's");
    }

    [Fact]
    public void A_put_replaces_a_counter_and_a_concurrent_one_stands_beside_it()
    {
        DottedObject counter = Add(DottedObject.Empty, new Dot(VersioningGen.Actors[1], 1), 7);
        DottedObject put = DottedObject.Gone(counter.Context).Write(new DottedValue(new Dot(VersioningGen.Actors[2], 1), HybridTimestamp.FromPhysical(50), "x"u8.ToArray()));
        DottedObject.Sync(counter, put).Values.Length.Should().Be(1);

        DottedObject concurrent = DottedObject.Sync(Add(counter, new Dot(VersioningGen.Actors[1], 2), 1, atMs: 90), put);
        concurrent.SiblingCount.Should().Be(2);
        concurrent.Winner.Value.ToArray().Should().Equal("8"u8.ToArray(), "the increment is newer");
        concurrent.Siblings().Select(value => System.Text.Encoding.UTF8.GetString(value.Value.Span)).Should().BeEquivalentTo("x", "8");
        Increment(concurrent, new Dot(VersioningGen.Actors[3], 1), 1).Status.Should().Be(IncrementStatus.WrongType);
    }

    [Fact]
    public void Where_the_newest_value_wins_a_counter_is_one_value_and_keeps_all_its_totals()
    {
        DottedObject counter = DottedObject.Sync(
            Add(DottedObject.Empty, new Dot(VersioningGen.Actors[1], 1), 7, atMs: 90), Add(DottedObject.Empty, new Dot(VersioningGen.Actors[2], 1), 5, atMs: 10));
        counter.KeepWinner().Should().BeSameAs(counter);
        DottedObject older = DottedObject.Empty.Write(new DottedValue(new Dot(VersioningGen.Actors[3], 1), HybridTimestamp.FromPhysical(50), "x"u8.ToArray()));
        DottedCounter.SumOf(DottedObject.Sync(counter, older).KeepWinner()).Should().Be(12);
        DottedObject newer = DottedObject.Empty.Write(new DottedValue(new Dot(VersioningGen.Actors[3], 1), HybridTimestamp.FromPhysical(100), "x"u8.ToArray()));
        DottedObject.Sync(counter, newer).KeepWinner().Values.ToArray().Select(value => value.Dot).Should().Equal(new Dot(VersioningGen.Actors[3], 1));
        DottedObject.PeekSiblings(VersioningGen.Encoded(counter.Encode)).Should().Be(1);
    }

    [Fact]
    public void Neither_the_sum_nor_a_total_leaves_the_range_of_64_bits()
    {
        DottedObject full = Add(DottedObject.Empty, new Dot(VersioningGen.Actors[1], 1), long.MaxValue);
        Increment(full, new Dot(VersioningGen.Actors[2], 1), 1).Status.Should().Be(IncrementStatus.Overflow);
        Increment(full, new Dot(VersioningGen.Actors[2], 1), -1).Sum.Should().Be(long.MaxValue - 1);
        DottedObject low = Add(DottedObject.Empty, new Dot(VersioningGen.Actors[1], 1), long.MinValue);
        Increment(low, new Dot(VersioningGen.Actors[1], 2), -1).Status.Should().Be(IncrementStatus.Overflow);

        DottedObject joined = DottedObject.Sync(full, Add(DottedObject.Empty, new Dot(VersioningGen.Actors[2], 1), 5));
        joined.Winner.Value.ToArray().Should().Equal("9223372036854775807"u8.ToArray(), "what concurrent increments came to is shown as the nearest bound");
        Add(joined, new Dot(VersioningGen.Actors[2], 2), -10).Winner.Value.ToArray().Should().Equal("9223372036854775802"u8.ToArray());
    }

    [Fact]
    public void A_total_remembers_its_last_requests_and_those_of_long_ago_only_as_long_as_nothing_is_added()
    {
        DottedObject counter = DottedObject.Empty;
        for (ulong i = 1; i <= 40; i++)
        {
            counter = Increment(counter, new Dot(VersioningGen.Actors[1], i), 1, new RequestId(3, i, 0)).Object;
        }

        DottedCounter.HasCounted(counter, new RequestId(3, 40, 0)).Should().BeTrue();
        DottedCounter.HasCounted(counter, new RequestId(3, 40 - CounterTotal.MaxRequests + 1, 0)).Should().BeTrue();
        DottedCounter.HasCounted(counter, new RequestId(3, 40 - CounterTotal.MaxRequests, 0)).Should().BeFalse();
        DottedCounter.HasCounted(counter, new RequestId(4, 40, 0)).Should().BeFalse("another client");

        DottedObject later = Increment(counter, new Dot(VersioningGen.Actors[1], 41), 1, new RequestId(3, 41, 0), CounterTotal.RememberMs + 1_000).Object;
        CounterTotal.Decode(later.Values[0].Value).RequestCount.Should().Be(1);
    }

    [Fact]
    public void A_counter_expires_as_a_whole_when_its_last_total_does_and_then_begins_anew()
    {
        DottedObject one = Increment(DottedObject.Empty, new Dot(VersioningGen.Actors[1], 1), 3, expiresMs: 100).Object;
        DottedObject other = Increment(DottedObject.Empty, new Dot(VersioningGen.Actors[2], 1), 4, expiresMs: 200).Object;
        DottedObject both = DottedObject.Sync(one, other);
        both.NextExpiryMs.Should().Be(200);
        DottedCounter.SumOf(both.AliveAt(150)).Should().Be(7);
        both.AliveAt(200).IsEmpty.Should().BeTrue();

        DottedObject again = Increment(both.AliveAt(200), new Dot(VersioningGen.Actors[1], 2), 1, expiresMs: 300).Object;
        DottedCounter.SumOf(DottedObject.Sync(again, both)).Should().Be(1, "the increment after the expiry superseded all that had expired");
    }

    private static DottedObject Add(DottedObject to, Dot dot, long delta, long atMs = 1) => Increment(to, dot, delta, default, atMs).Object;

    private static Incremented Increment(DottedObject to, Dot dot, long delta, RequestId request = default, long atMs = 1, ulong expiresMs = 0)
        => DottedCounter.Increment(to, dot, default, _ => false, delta, request, HybridTimestamp.FromPhysical(atMs), expiresMs);

    /// <summary>Holders of one counter, the first of which is the log; the others come back from restarts as new actors.</summary>
    private sealed class World
    {
        private readonly DottedObject[] _copies = [.. Enumerable.Repeat(DottedObject.Empty, Holders)];
        private readonly ActorId[] _actors = [ActorId.Log, new(80_001), new(80_002), new(80_003)];
        private readonly ulong[] _minted = new ulong[Holders];
        private ulong _nextActor = 90_000;

        public IncrementStatus Increment(int at, long delta, RequestId request = default)
        {
            ReplicaId owner = at == 0 ? default : new ReplicaId((ulong)at);
            Incremented counted = DottedCounter.Increment(
                _copies[at], new Dot(_actors[at], _minted[at] + 1), owner, actor => actor != _actors[at], delta, request, HybridTimestamp.FromPhysical(1), 0);
            if (counted.Status == IncrementStatus.Counted)
            {
                _minted[at]++;
                _copies[at] = counted.Object;
            }

            return counted.Status;
        }

        public void Pull(int at, int from) => _copies[at] = DottedObject.Sync(_copies[at], DottedObject.Decode(VersioningGen.Encoded(_copies[from].Encode)));

        public void Restart(int at)
        {
            if (at > 0)
            {
                _actors[at] = new ActorId(_nextActor++);
                _minted[at] = 0;
            }
        }

        public DottedObject Join() => _copies.Aggregate(DottedObject.Sync);

        public long Everything() => (long)DottedCounter.SumOf(Join());
    }
}

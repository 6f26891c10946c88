using CsCheck;
using FluentAssertions;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>The runs behind a clock, against a plain set of numbers.</summary>
public sealed class SeenCountersTests
{
    private static readonly Gen<(ulong From, ulong To)[]> Ranges = Gen.Select(Gen.ULong[1, 24], Gen.ULong[0, 4], (from, more) => (from, from + more)).Array[0, 8];

    [Fact]
    public void Ranges_in_any_order_leave_the_one_representation_of_their_union()
        => Ranges.Sample(ranges =>
        {
            SeenCounters seen = new();
            SortedSet<ulong> set = [];
            foreach ((ulong from, ulong to) in ranges)
            {
                seen.AddRange(from, to);
                for (ulong counter = from; counter <= to; counter++)
                {
                    set.Add(counter);
                }
            }

            SameAsSet(seen, set);
        });

    [Fact]
    public void Joins_intersections_and_inclusion_are_those_of_sets()
        => Gen.Select(Ranges, Ranges).Sample((left, right) =>
        {
            (SeenCounters a, SortedSet<ulong> mine) = Of(left);
            (SeenCounters b, SortedSet<ulong> theirs) = Of(right);
            a.Includes(b).Should().Be(mine.IsSupersetOf(theirs));
            SameAsSet(SeenCounters.Intersect(a, b), [.. mine.Intersect(theirs)]);
            SeenCounters joined = a.Clone();
            joined.Join(b);
            SameAsSet(joined, [.. mine.Union(theirs)]);
            a.StretchesMissingFrom(b).SelectMany(Counters).Should().Equal(mine.Except(theirs));
            a.StretchesMissingFrom(null).SelectMany(Counters).Should().Equal(mine);
            SameAsSet(a, mine);
        });

    [Fact]
    public void What_is_missing_comes_in_as_few_stretches_as_there_are()
    {
        SeenCounters all = Run(1, 10), some = Run(4, 5);
        all.StretchesMissingFrom(some).Should().Equal(new CounterRun(1, 3), new CounterRun(6, 10));
        all.StretchesMissingFrom(null).Should().Equal(new CounterRun(1, 10));
        some.StretchesMissingFrom(all).Should().BeEmpty();
        new SeenCounters().StretchesMissingFrom(all).Should().BeEmpty();
        Run(4, 8).StretchesMissingFrom(Run(6, 6)).Should().Equal(new CounterRun(4, 5), new CounterRun(7, 8));
        Run(4, 8).StretchesMissingFrom(Run(9, 12)).Should().Equal(new CounterRun(4, 8));
        Run(4, 8).StretchesMissingFrom(Run(8, 12)).Should().Equal(new CounterRun(4, 7));
    }

    [Fact]
    public void Coverage_ends_where_the_unbroken_stretch_ends()
    {
        SeenCounters seen = Run(1, 3);
        seen.AddRange(6, 8);
        seen.EndOfCoverage(1).Should().Be(3);
        seen.EndOfCoverage(3).Should().Be(3);
        seen.EndOfCoverage(4).Should().Be(0);
        seen.EndOfCoverage(5).Should().Be(0);
        seen.EndOfCoverage(6).Should().Be(8);
        seen.EndOfCoverage(8).Should().Be(8);
        seen.EndOfCoverage(9).Should().Be(0);
        seen.NextCovered(3).Should().Be(3);
        seen.NextCovered(4).Should().Be(6);
        seen.NextCovered(7).Should().Be(7);
        seen.NextCovered(8).Should().Be(8);
        seen.NextCovered(9).Should().Be(0);
    }

    [Fact]
    public void A_range_that_only_touches_the_base_moves_it_and_one_below_changes_nothing()
    {
        SeenCounters seen = Run(1, 3);
        seen.AddRange(4, 5);
        seen.Base.Should().Be(5);
        seen.AddRange(2, 4);
        seen.Base.Should().Be(5);
        seen.AddRange(7, 7);
        seen.Base.Should().Be(5);
        seen.RunCount.Should().Be(1);
        seen.AddRange(1, 6);
        seen.Base.Should().Be(7);
        seen.RunCount.Should().Be(0);
    }

    private static void SameAsSet(SeenCounters seen, SortedSet<ulong> set)
    {
        for (ulong counter = 1; counter <= 40; counter++)
        {
            seen.Covers(counter).Should().Be(set.Contains(counter), "of {0}", counter);
        }

        seen.IsEmpty.Should().Be(set.Count == 0);
        seen.Highest.Should().Be(set.Count == 0 ? 0 : set.Max);
        ulong previous = seen.Base;
        for (int i = 0; i < seen.RunCount; i++)
        {
            seen.RunAt(i).From.Should().BeGreaterThan(previous + 1, "runs do not touch");
            previous = seen.RunAt(i).To;
            previous.Should().BeGreaterThanOrEqualTo(seen.RunAt(i).From);
        }

        SeenCounters one = new();
        foreach (ulong counter in set.Reverse())
        {
            one.Add(counter).Should().BeTrue();
            one.Add(counter).Should().BeFalse();
        }

        one.SameAs(seen).Should().BeTrue();
        one.Add(99);
        one.SameAs(seen).Should().BeFalse();
    }

    private static (SeenCounters Seen, SortedSet<ulong> Set) Of((ulong From, ulong To)[] ranges)
    {
        SeenCounters seen = new();
        SortedSet<ulong> set = [];
        foreach ((ulong from, ulong to) in ranges)
        {
            for (ulong counter = from; counter <= to; counter++)
            {
                seen.Add(counter).Should().Be(set.Add(counter));
            }
        }

        return (seen, set);
    }

    private static SeenCounters Run(ulong from, ulong to)
    {
        SeenCounters seen = new();
        seen.AddRange(from, to);
        return seen;
    }

    private static IEnumerable<ulong> Counters(CounterRun run)
    {
        for (ulong counter = run.From; counter <= run.To; counter++)
        {
            yield return counter;
        }
    }
}

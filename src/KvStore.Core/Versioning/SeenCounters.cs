using System.Runtime.InteropServices;

namespace KvStore.Core.Versioning;

/// <summary>
/// Which counters of one actor were seen: all up to <see cref="Base"/>, and runs above it. Runs rather than a bitmap, because a replica that joins late sees high counters long before the
/// low ones, and a single hostile counter must not cost memory.
/// </summary>
/// <remarks>Invariant: runs are sorted, disjoint and not adjacent, and the first begins at least two above the base. So equal sets have equal representations.</remarks>
internal sealed class SeenCounters
{
    private readonly List<CounterRun> _runs = [];

    /// <summary>Every counter from 1 up to this was seen.</summary>
    public ulong Base { get; private set; }

    public bool IsEmpty => Base == 0 && _runs.Count == 0;

    public int RunCount => _runs.Count;

    public ulong Highest => _runs.Count > 0 ? _runs[^1].To : Base;

    public CounterRun RunAt(int index) => _runs[index];

    public bool Covers(ulong counter) => counter <= Base || (_runs.Count > 0 && EndOfCoverage(counter) != 0);

    /// <summary>The last counter of the unbroken stretch of seen counters that holds this one; zero if this one was not seen.</summary>
    public ulong EndOfCoverage(ulong counter)
    {
        if (counter <= Base)
        {
            return Base;
        }

        int index = IndexOfRunEndingAtOrAfter(counter);
        return index < _runs.Count && _runs[index].From <= counter ? _runs[index].To : 0;
    }

    /// <summary>The first seen counter at or above this one; zero if there is none.</summary>
    public ulong NextCovered(ulong counter)
    {
        if (counter <= Base)
        {
            return counter;
        }

        int index = IndexOfRunEndingAtOrAfter(counter);
        return index == _runs.Count ? 0 : Math.Max(counter, _runs[index].From);
    }

    /// <returns>True if it was new.</returns>
    public bool Add(ulong counter)
    {
        if (counter == Base + 1)
        {
            Base = counter;
            AbsorbRuns();
            return true;
        }

        if (Covers(counter))
        {
            return false;
        }

        AddRun(counter, counter);
        return true;
    }

    public void AddRange(ulong from, ulong to)
    {
        if (from <= Base + 1)
        {
            if (to > Base)
            {
                Base = to;
                AbsorbRuns();
            }

            return;
        }

        AddRun(from, to);
    }

    public void Join(SeenCounters other)
    {
        if (other.Base > 0)
        {
            AddRange(1, other.Base);
        }

        foreach (CounterRun run in other._runs)
        {
            AddRange(run.From, run.To);
        }
    }

    public bool Includes(SeenCounters other)
    {
        if (other.Base > Base)
        {
            return false;
        }

        foreach (CounterRun run in other._runs)
        {
            if (EndOfCoverage(run.From) < run.To)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The counters that both have seen.</summary>
    public static SeenCounters Intersect(SeenCounters a, SeenCounters b)
    {
        SeenCounters common = new();
        for (int i = -1; i < a._runs.Count; i++)
        {
            CounterRun run = a.StretchAt(i);
            ulong from = b.NextCovered(run.From);
            while (from != 0 && from <= run.To)
            {
                ulong to = Math.Min(b.EndOfCoverage(from), run.To);
                common.AddRange(from, to);
                from = b.NextCovered(to + 1);
            }
        }

        return common;
    }

    /// <summary>The stretches of counters that this has seen and the other (if any) has not, in order.</summary>
    public IEnumerable<CounterRun> StretchesMissingFrom(SeenCounters? other)
    {
        for (int i = -1; i < _runs.Count; i++)
        {
            CounterRun run = StretchAt(i);
            ulong from = run.From;
            while (from <= run.To)
            {
                ulong seenUpTo = other?.EndOfCoverage(from) ?? 0;
                if (seenUpTo != 0)
                {
                    from = seenUpTo + 1;
                    continue;
                }

                ulong next = other?.NextCovered(from) ?? 0;
                ulong to = next == 0 || next > run.To ? run.To : next - 1;
                yield return new CounterRun(from, to);
                from = to + 1;
            }
        }
    }

    public SeenCounters Clone()
    {
        SeenCounters copy = new() { Base = Base };
        copy._runs.AddRange(_runs);
        return copy;
    }

    public bool SameAs(SeenCounters other)
        => Base == other.Base && CollectionsMarshal.AsSpan(_runs).SequenceEqual(CollectionsMarshal.AsSpan(other._runs));

    /// <summary>The base as a run (index -1, empty if the base is zero) and the runs above it.</summary>
    private CounterRun StretchAt(int index) => index < 0 ? new CounterRun(1, Base) : _runs[index];

    private int IndexOfRunEndingAtOrAfter(ulong counter)
    {
        int low = 0, high = _runs.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_runs[middle].To < counter)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private void AbsorbRuns()
    {
        int absorbed = 0;
        while (absorbed < _runs.Count && _runs[absorbed].From <= Base + 1)
        {
            Base = Math.Max(Base, _runs[absorbed].To);
            absorbed++;
        }

        if (absorbed > 0)
        {
            _runs.RemoveRange(0, absorbed);
        }
    }

    private void AddRun(ulong from, ulong to)
    {
        int first = IndexOfRunEndingAtOrAfter(from - 1);
        int last = first;
        while (last < _runs.Count && _runs[last].From <= to + 1)
        {
            from = Math.Min(from, _runs[last].From);
            to = Math.Max(to, _runs[last].To);
            last++;
        }

        if (last == first)
        {
            _runs.Insert(first, new CounterRun(from, to));
            return;
        }

        _runs[first] = new CounterRun(from, to);
        _runs.RemoveRange(first + 1, last - first - 1);
    }
}

/// <summary>The counters <paramref name="From"/> to <paramref name="To"/>, both included.</summary>
internal readonly record struct CounterRun(ulong From, ulong To);

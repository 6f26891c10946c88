using System.Buffers;
using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>
/// The dots that one replica of a shard has seen: for each actor an unbroken base and what was seen above it. Objects are stored without the context that the base implies, so the base is
/// as much a part of every object as its own bytes (DottedDB, SRDS 2017). Mutable, owned by one loop.
/// </summary>
public sealed class ShardClock : IEquatable<ShardClock>
{
    private readonly List<Row> _rows = [];
    private VersionVector? _baseVector = VersionVector.Empty;

    public bool IsEmpty => _rows.Count == 0;

    /// <summary>Whether some actor's dots were seen above one that wasn't.</summary>
    public bool HasGaps
    {
        get
        {
            foreach (Row row in _rows)
            {
                if (row.Seen.RunCount > 0)
                {
                    return true;
                }
            }

            return false;
        }
    }

    public int ActorCount => _rows.Count;

    /// <summary>The unbroken base of every actor. The same instance until a base moves.</summary>
    public VersionVector BaseVector => _baseVector ??= ComputeBaseVector();

    /// <returns>True if the dot was new.</returns>
    public bool Add(Dot dot)
    {
        SeenCounters seen = Counters(dot.Actor);
        ulong before = seen.Base;
        bool added = seen.Add(dot.Counter);
        if (seen.Base != before)
        {
            _baseVector = null;
        }

        return added;
    }

    /// <summary>Counts every dot of the actor up to the counter as seen: how a log prefix enters the clock.</summary>
    public void AdvanceBase(ActorId actor, ulong counter)
    {
        if (counter > BaseOf(actor))
        {
            Counters(actor).AddRange(1, counter);
            _baseVector = null;
        }
    }

    public bool Covers(Dot dot) => Find(dot.Actor)?.Covers(dot.Counter) ?? false;

    public ulong BaseOf(ActorId actor) => Find(actor)?.Base ?? 0;

    /// <summary>The highest counter of the actor that was seen, with or without gaps below.</summary>
    public ulong HighestOf(ActorId actor) => Find(actor)?.Highest ?? 0;

    /// <summary>Whether every dot of the other was seen here too.</summary>
    public bool Includes(ShardClock other)
    {
        foreach (Row row in other._rows)
        {
            SeenCounters? mine = Find(row.Actor);
            if (mine is null || !mine.Includes(row.Seen))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The dots that this clock has and the other lacks, by actor, then counter. Lazy: take what is wanted. Neither clock may change meanwhile.</summary>
    public IEnumerable<Dot> MissingFrom(ShardClock other)
    {
        foreach (Row row in _rows)
        {
            foreach (CounterRun stretch in row.Seen.StretchesMissingFrom(other.Find(row.Actor)))
            {
                for (ulong counter = stretch.From; counter <= stretch.To; counter++)
                {
                    yield return new Dot(row.Actor, counter);
                }
            }
        }
    }

    /// <summary>How many dots this clock has that the other lacks; costs no more than the number of gaps.</summary>
    public ulong CountMissingFrom(ShardClock other)
    {
        ulong count = 0;
        foreach (Row row in _rows)
        {
            foreach (CounterRun stretch in row.Seen.StretchesMissingFrom(other.Find(row.Actor)))
            {
                count += stretch.To - stretch.From + 1;
            }
        }

        return count;
    }

    /// <summary>Adds all that the other has seen.</summary>
    public void Join(ShardClock other)
    {
        foreach (Row row in other._rows)
        {
            Counters(row.Actor).Join(row.Seen);
        }

        _baseVector = null;
    }

    /// <summary>The dots that both have seen.</summary>
    public static ShardClock Intersect(ShardClock a, ShardClock b)
    {
        ShardClock common = new();
        foreach (Row row in a._rows)
        {
            SeenCounters? theirs = b.Find(row.Actor);
            if (theirs is null)
            {
                continue;
            }

            SeenCounters both = SeenCounters.Intersect(row.Seen, theirs);
            if (!both.IsEmpty)
            {
                common._rows.Add(new Row(row.Actor, both));
            }
        }

        common._baseVector = null;
        return common;
    }

    /// <summary>A copy that says nothing of one actor.</summary>
    public ShardClock Without(ActorId actor)
    {
        ShardClock copy = new() { _baseVector = null };
        foreach (Row row in _rows)
        {
            if (row.Actor != actor)
            {
                copy._rows.Add(new Row(row.Actor, row.Seen.Clone()));
            }
        }

        return copy;
    }

    /// <summary>A copy without the actors of which the other has seen all that this has.</summary>
    public ShardClock RowsBeyond(ShardClock other)
    {
        ShardClock beyond = new() { _baseVector = null };
        foreach (Row row in _rows)
        {
            if (other.Find(row.Actor) is not { } theirs || !theirs.Includes(row.Seen))
            {
                beyond._rows.Add(new Row(row.Actor, row.Seen.Clone()));
            }
        }

        return beyond;
    }

    public ShardClock Clone()
    {
        ShardClock copy = new() { _baseVector = _baseVector };
        foreach (Row row in _rows)
        {
            copy._rows.Add(new Row(row.Actor, row.Seen.Clone()));
        }

        return copy;
    }

    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, (ulong)_rows.Count);
        foreach (Row row in _rows)
        {
            VarInt.Write(output, row.Actor.Value);
            VarInt.Write(output, row.Seen.Base);
            VarInt.Write(output, (ulong)row.Seen.RunCount);
            ulong previous = row.Seen.Base;
            for (int i = 0; i < row.Seen.RunCount; i++)
            {
                CounterRun run = row.Seen.RunAt(i);
                VarInt.Write(output, run.From - previous);
                VarInt.Write(output, run.To - run.From);
                previous = run.To;
            }
        }
    }

    /// <exception cref="MalformedRecordException">The bytes are not a clock in its one canonical form.</exception>
    public static ShardClock Decode(ref BinaryCursor input)
    {
        ShardClock clock = new() { _baseVector = null };
        int rows = input.ReadCount(3);
        for (int i = 0; i < rows; i++)
        {
            ActorId actor = input.ReadActor();
            if (i > 0 && clock._rows[i - 1].Actor.Value >= actor.Value)
            {
                MalformedRecordException.Throw("a clock is not sorted");
            }

            clock._rows.Add(new Row(actor, DecodeCounters(ref input)));
        }

        return clock;
    }

    public bool Equals(ShardClock? other)
    {
        if (other is null || other._rows.Count != _rows.Count)
        {
            return false;
        }

        for (int i = 0; i < _rows.Count; i++)
        {
            if (_rows[i].Actor != other._rows[i].Actor || !_rows[i].Seen.SameAs(other._rows[i].Seen))
            {
                return false;
            }
        }

        return true;
    }

    public override bool Equals(object? obj) => Equals(obj as ShardClock);

    /// <summary>Coarse on purpose: a clock changes, and should not be a key of a table.</summary>
    public override int GetHashCode() => 0;

    public override string ToString() => string.Join(' ', _rows);

    private static SeenCounters DecodeCounters(ref BinaryCursor input)
    {
        SeenCounters seen = new();
        ulong previous = input.ReadVarInt();
        if (previous > Dot.MaxCounter)
        {
            MalformedRecordException.Throw("a clock's base is out of range");
        }

        seen.AddRange(1, previous);
        int runs = input.ReadCount(2);
        for (int i = 0; i < runs; i++)
        {
            ulong gap = input.ReadVarInt();
            ulong length = input.ReadVarInt();
            if (gap < 2 || gap > Dot.MaxCounter - previous || length > Dot.MaxCounter - previous - gap)
            {
                MalformedRecordException.Throw("a clock's runs touch or are out of range");
            }

            seen.AddRange(previous + gap, previous + gap + length);
            previous += gap + length;
        }

        if (seen.IsEmpty)
        {
            MalformedRecordException.Throw("a clock mentions an actor without dots");
        }

        return seen;
    }

    private SeenCounters? Find(ActorId actor)
    {
        int index = IndexOf(actor);
        return index < 0 ? null : _rows[index].Seen;
    }

    private SeenCounters Counters(ActorId actor)
    {
        int index = IndexOf(actor);
        if (index >= 0)
        {
            return _rows[index].Seen;
        }

        SeenCounters seen = new();
        _rows.Insert(~index, new Row(actor, seen));
        return seen;
    }

    private int IndexOf(ActorId actor)
    {
        int low = 0, high = _rows.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            int order = _rows[middle].Actor.CompareTo(actor);
            if (order == 0)
            {
                return middle;
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return ~low;
    }

    private VersionVector ComputeBaseVector()
    {
        int count = 0;
        foreach (Row row in _rows)
        {
            count += row.Seen.Base > 0 ? 1 : 0;
        }

        Dot[] entries = new Dot[count];
        int next = 0;
        foreach (Row row in _rows)
        {
            if (row.Seen.Base > 0)
            {
                entries[next++] = new Dot(row.Actor, row.Seen.Base);
            }
        }

        return new VersionVector(entries);
    }

    private readonly record struct Row(ActorId Actor, SeenCounters Seen)
    {
        public override string ToString() => Seen.RunCount == 0 ? $"{Actor}:{Seen.Base}" : $"{Actor}:{Seen.Base}+{Seen.RunCount} up to {Seen.Highest}";
    }
}

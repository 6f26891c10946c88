using System.Buffers;
using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>
/// For each actor the counter up to which all its dots are covered. Immutable; a small array sorted by actor, because a shard has a handful of actors. Zero entries are not stored, so
/// equal vectors have equal arrays.
/// </summary>
public sealed class VersionVector : IEquatable<VersionVector>
{
    public static readonly VersionVector Empty = new([]);

    /// <summary>Sorted by actor, one dot per actor, counters above zero.</summary>
    private readonly Dot[] _entries;

    internal VersionVector(Dot[] sortedEntries) => _entries = sortedEntries;

    public bool IsEmpty => _entries.Length == 0;

    public int Count => _entries.Length;

    /// <summary>The highest dot per actor, in actor order.</summary>
    public ReadOnlySpan<Dot> Entries => _entries;

    /// <summary>The counter up to which the actor's dots are covered; zero for an actor that isn't mentioned.</summary>
    public ulong this[ActorId actor]
    {
        get
        {
            foreach (ref readonly Dot entry in _entries.AsSpan())
            {
                if (entry.Actor.Value >= actor.Value)
                {
                    return entry.Actor.Value == actor.Value ? entry.Counter : 0;
                }
            }

            return 0;
        }
    }

    /// <summary>The vector with exactly these entries. Of two for one actor the higher counts.</summary>
    public static VersionVector Of(params ReadOnlySpan<Dot> dots)
    {
        VersionVector vector = Empty;
        foreach (Dot dot in dots)
        {
            vector = vector.With(dot);
        }

        return vector;
    }

    public bool Covers(Dot dot) => this[dot.Actor] >= dot.Counter;

    /// <summary>Whether this vector covers all that the other covers (they may be equal).</summary>
    public bool Descends(VersionVector other)
    {
        if (ReferenceEquals(this, other))
        {
            return true;
        }

        int mine = 0;
        foreach (ref readonly Dot theirs in other._entries.AsSpan())
        {
            while (mine < _entries.Length && _entries[mine].Actor.Value < theirs.Actor.Value)
            {
                mine++;
            }

            if (mine == _entries.Length || _entries[mine].Actor.Value != theirs.Actor.Value || _entries[mine].Counter < theirs.Counter)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The least vector that covers both. Allocates nothing when one covers the other.</summary>
    public VersionVector Join(VersionVector other)
    {
        if (Descends(other))
        {
            return this;
        }

        if (other.Descends(this))
        {
            return other;
        }

        Dot[] joined = new Dot[CountJoined(other)];
        int a = 0, b = 0;
        for (int i = 0; i < joined.Length; i++)
        {
            int order = a == _entries.Length ? 1 : b == other._entries.Length ? -1 : _entries[a].Actor.CompareTo(other._entries[b].Actor);
            joined[i] = order < 0 || (order == 0 && _entries[a].Counter >= other._entries[b].Counter) ? _entries[a] : other._entries[b];
            a += order <= 0 ? 1 : 0;
            b += order >= 0 ? 1 : 0;
        }

        return new VersionVector(joined);
    }

    /// <summary>This vector, made to cover the dot and all before it.</summary>
    public VersionVector With(Dot dot)
    {
        int position = 0;
        while (position < _entries.Length && _entries[position].Actor.Value < dot.Actor.Value)
        {
            position++;
        }

        Dot[] entries;
        if (position < _entries.Length && _entries[position].Actor.Value == dot.Actor.Value)
        {
            if (_entries[position].Counter >= dot.Counter)
            {
                return this;
            }

            entries = _entries.AsSpan().ToArray();
        }
        else
        {
            entries = new Dot[_entries.Length + 1];
            _entries.AsSpan(0, position).CopyTo(entries);
            _entries.AsSpan(position).CopyTo(entries.AsSpan(position + 1));
        }

        entries[position] = dot;
        return new VersionVector(entries);
    }

    /// <summary>Only the entries that the base does not cover. The inverse is <see cref="Join"/> with the same or a later base.</summary>
    public VersionVector Without(VersionVector covered)
    {
        int kept = 0;
        foreach (ref readonly Dot entry in _entries.AsSpan())
        {
            kept += covered.Covers(entry) ? 0 : 1;
        }

        if (kept == 0)
        {
            return Empty;
        }

        if (kept == _entries.Length)
        {
            return this;
        }

        Dot[] rest = new Dot[kept];
        int count = 0;
        foreach (ref readonly Dot entry in _entries.AsSpan())
        {
            if (!covered.Covers(entry))
            {
                rest[count++] = entry;
            }
        }

        return new VersionVector(rest);
    }

    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, (ulong)_entries.Length);
        foreach (ref readonly Dot entry in _entries.AsSpan())
        {
            VarInt.WriteDot(output, entry);
        }
    }

    /// <exception cref="MalformedRecordException">The bytes are not a version vector in its one canonical form.</exception>
    public static VersionVector Decode(ref BinaryCursor input)
    {
        int count = input.ReadCount(2);
        if (count == 0)
        {
            return Empty;
        }

        Dot[] entries = new Dot[count];
        for (int i = 0; i < count; i++)
        {
            entries[i] = input.ReadDot();
            if (i > 0 && entries[i - 1].Actor.Value >= entries[i].Actor.Value)
            {
                MalformedRecordException.Throw("a version vector is not sorted");
            }
        }

        return new VersionVector(entries);
    }

    public bool Equals(VersionVector? other) => other is not null && _entries.AsSpan().SequenceEqual(other._entries);

    public override bool Equals(object? obj) => Equals(obj as VersionVector);

    public override int GetHashCode()
    {
        int hash = _entries.Length;
        foreach (ref readonly Dot entry in _entries.AsSpan())
        {
            hash = (hash * 31) + entry.GetHashCode();
        }

        return hash;
    }

    public override string ToString() => $"{{{string.Join(' ', _entries)}}}";

    /// <summary>How many actors this vector and the other one name together.</summary>
    private int CountJoined(VersionVector other)
    {
        int count = _entries.Length + other._entries.Length;
        int theirs = 0;
        foreach (ref readonly Dot entry in _entries.AsSpan())
        {
            while (theirs < other._entries.Length && other._entries[theirs].Actor.Value < entry.Actor.Value)
            {
                theirs++;
            }

            count -= theirs < other._entries.Length && other._entries[theirs].Actor.Value == entry.Actor.Value ? 1 : 0;
        }

        return count;
    }
}

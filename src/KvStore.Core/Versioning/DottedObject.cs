using System.Buffers;

namespace KvStore.Core.Versioning;

/// <summary>
/// The value of a key: the values that nothing known has superseded, each under the dot of its write, and the causal context, which covers all that was ever seen of the key. Immutable.
/// </summary>
/// <remarks>
/// <para>
/// An object is <em>filled</em> when its context says everything its holder knows, and <em>stripped</em> when the entries that the holder's clock implies are left out (that is how it is
/// stored). Only filled objects may be joined, discarded from, written to or sent. A missing record is <see cref="Empty"/>, stripped: filled with a clock it says "seen, and gone".
/// </para>
/// <para>
/// <see cref="Sync"/> is the only way in which two copies are joined, and <see cref="Write(Dot, ReadOnlyMemory{byte}?, HybridTimestamp)"/> the only way in which a value leaves an object for good: an undotted drop would let equal
/// clocks hide unequal data. After "Concise Server-Wide Causality Management for Eventually Consistent Data Stores" (DAIS 2015).
/// </para>
/// </remarks>
public sealed class DottedObject : IEquatable<DottedObject>
{
    /// <summary>First byte of the encoding when all values are plain. <see cref="OrderedRecord.Tag"/> is the other one.</summary>
    public const byte Tag = 0x02;

    /// <summary>First byte when some value is a counter or expires: each then has <see cref="ValueFlags"/>.</summary>
    public const byte ExtendedTag = 0x03;

    public static readonly DottedObject Empty = new([], VersionVector.Empty);

    private const int MinValueBytes = 11;

    /// <summary>Sorted by dot, no dot twice.</summary>
    private readonly DottedValue[] _values;

    private DottedObject(DottedValue[] sortedValues, VersionVector context)
    {
        _values = sortedValues;
        Context = context;
    }

    /// <summary>The live values, in the order of their dots.</summary>
    public ReadOnlySpan<DottedValue> Values => _values;

    public VersionVector Context { get; }

    /// <summary>How many values a reader sees: the totals of a counter are one.</summary>
    public int SiblingCount
    {
        get
        {
            int totals = 0;
            foreach (ref readonly DottedValue value in _values.AsSpan())
            {
                totals += value.IsCounter ? 1 : 0;
            }

            return totals == 0 ? _values.Length : _values.Length - totals + 1;
        }
    }

    /// <summary>Whether some value is a counter's total.</summary>
    public bool HasCounter
    {
        get
        {
            foreach (ref readonly DottedValue value in _values.AsSpan())
            {
                if (value.IsCounter)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Bytes of all live values.</summary>
    public long SizeOfValues
    {
        get
        {
            long size = 0;
            foreach (ref readonly DottedValue value in _values.AsSpan())
            {
                size += value.Value.Length;
            }

            return size;
        }
    }

    /// <summary>No live value. The context may still say what is gone.</summary>
    public bool IsEmpty => _values.Length == 0;

    /// <summary>Nothing to store: no value, and no context beyond what the clock implies.</summary>
    public bool IsVacant => IsEmpty && Context.IsEmpty;

    /// <summary>
    /// The value that naive readers see, the same on every replica with the same values. A counter is as new as its newest total, and reads as the decimal text of its sum. Only if not
    /// <see cref="IsEmpty"/>.
    /// </summary>
    public DottedValue Winner
    {
        get
        {
            Invariant.Assert(_values.Length > 0);
            int winner = 0;
            for (int i = 1; i < _values.Length; i++)
            {
                if (_values[i].WinsOver(_values[winner]))
                {
                    winner = i;
                }
            }

            return Visible(winner);
        }
    }

    /// <summary>When the first of the values that a reader sees expires, in Unix milliseconds. Zero: none does.</summary>
    public ulong NextExpiryMs
    {
        get
        {
            ulong next = DottedCounter.ExpiryOf(this);
            foreach (ref readonly DottedValue value in _values.AsSpan())
            {
                if (!value.IsCounter && value.ExpiresMs != 0 && (next == 0 || value.ExpiresMs < next))
                {
                    next = value.ExpiresMs;
                }
            }

            return next;
        }
    }

    /// <summary>The values as a reader sees them: those that were written, and a counter as one.</summary>
    public IReadOnlyList<DottedValue> Siblings()
    {
        List<DottedValue> visible = new(_values.Length);
        int total = -1;
        for (int i = 0; i < _values.Length; i++)
        {
            if (!_values[i].IsCounter)
            {
                visible.Add(_values[i]);
            }
            else if (total < 0 || _values[i].WinsOver(_values[total]))
            {
                total = i;
            }
        }

        if (total >= 0)
        {
            visible.Add(Visible(total));
        }

        return visible;
    }

    /// <summary>
    /// The object without what has expired. As a view for readers, or together with the dotted write that follows: nothing leaves an object otherwise.
    /// </summary>
    /// <param name="nowMs">Unix milliseconds.</param>
    public DottedObject AliveAt(ulong nowMs)
    {
        bool counterGone = DottedCounter.ExpiryOf(this) is > 0 and var expiry && expiry <= nowMs;
        int gone = 0;
        foreach (ref readonly DottedValue value in _values.AsSpan())
        {
            gone += IsGone(value, counterGone, nowMs) ? 1 : 0;
        }

        if (gone == 0)
        {
            return this;
        }

        DottedValue[] rest = new DottedValue[_values.Length - gone];
        int count = 0;
        foreach (ref readonly DottedValue value in _values.AsSpan())
        {
            if (!IsGone(value, counterGone, nowMs))
            {
                rest[count++] = value;
            }
        }

        return rest.Length == 0 ? Gone(Context) : new DottedObject(rest, Context);
    }

    /// <summary>The object without these values. Only together with the dotted write that supersedes them.</summary>
    public DottedObject Supersede(IReadOnlyCollection<Dot> dots)
        => dots.Count == 0 ? this : new DottedObject([.. _values.Where(value => !dots.Contains(value.Dot))], Context);

    /// <summary>An object with one value and a context that covers it.</summary>
    public static DottedObject Single(DottedValue value, VersionVector context) => new([value], context.With(value.Dot));

    /// <summary>No value, and a context.</summary>
    public static DottedObject Gone(VersionVector context) => context.IsEmpty ? Empty : new DottedObject([], context);

    /// <summary>What the log wrote at an index: it superseded all the log wrote before.</summary>
    public static DottedObject FromOrdered(in OrderedRecord record)
    {
        Dot dot = Dot.OfLog(record.Index);
        return Single(new DottedValue(dot, record.Timestamp, record.Value) { Form = record.Form, ExpiresMs = record.ExpiresMs }, VersionVector.Empty);
    }

    /// <summary>
    /// The join of two filled copies: keeps a dot that both have, and one that one has and the other's context does not cover. Commutative, associative, idempotent.
    /// </summary>
    public static DottedObject Sync(DottedObject a, DottedObject b)
    {
        if (ReferenceEquals(a, b))
        {
            return a;
        }

        VersionVector context = a.Context.Join(b.Context);
        bool keepsA = KeepsAllAgainst(a, b), keepsB = KeepsAllAgainst(b, a);
        if (keepsA && IsSubset(b, a))
        {
            return a.WithContext(context);
        }

        if (keepsB && IsSubset(a, b))
        {
            return b.WithContext(context);
        }

        return new DottedObject(MergeValues(a, b), context);
    }

    /// <summary>Adds what the base of a clock implies to the context.</summary>
    public DottedObject Fill(VersionVector clockBase) => WithContext(Context.Join(clockBase));

    /// <summary>Leaves out of the context what the base of a clock implies.</summary>
    public DottedObject Strip(VersionVector clockBase) => WithContext(Context.Without(clockBase));

    /// <summary>Drops the values that the context covers and learns the context. Final only together with the dotted write that follows.</summary>
    public DottedObject Discard(VersionVector context)
    {
        VersionVector joined = Context.Join(context);
        int kept = 0;
        foreach (ref readonly DottedValue value in _values.AsSpan())
        {
            kept += context.Covers(value.Dot) ? 0 : 1;
        }

        if (kept == _values.Length)
        {
            return WithContext(joined);
        }

        DottedValue[] rest = new DottedValue[kept];
        int count = 0;
        foreach (ref readonly DottedValue value in _values.AsSpan())
        {
            if (!context.Covers(value.Dot))
            {
                rest[count++] = value;
            }
        }

        return new DottedObject(rest, joined);
    }

    /// <summary>Only the values that the predicate lets through; the context stays. For a copy that is about to be joined: on a stored object that would be an undotted drop.</summary>
    public DottedObject Keep(Func<DottedValue, bool> predicate)
    {
        DottedValue[] kept = Array.FindAll(_values, value => predicate(value));
        return kept.Length == _values.Length ? this : kept.Length == 0 ? Gone(Context) : new DottedObject(kept, Context);
    }

    /// <summary>Adds a new value, or with null the trace of a deletion, under a freshly minted dot. What it supersedes was discarded before.</summary>
    public DottedObject Write(Dot dot, ReadOnlyMemory<byte>? value, HybridTimestamp timestamp)
    {
        return value is { } bytes ? Write(new DottedValue(dot, timestamp, bytes)) : WithContext(Context.With(dot));
    }

    /// <summary>Adds a new value under its freshly minted dot.</summary>
    public DottedObject Write(in DottedValue value)
    {
        Dot dot = value.Dot;
        int position = 0;
        while (position < _values.Length && _values[position].Dot.CompareTo(dot) < 0)
        {
            position++;
        }

        Invariant.Assert(position == _values.Length || _values[position].Dot != dot);
        DottedValue[] values = new DottedValue[_values.Length + 1];
        _values.AsSpan(0, position).CopyTo(values);
        values[position] = value;
        _values.AsSpan(position).CopyTo(values.AsSpan(position + 1));
        return new DottedObject(values, Context.With(dot));
    }

    /// <summary>Only the winner, in the same context: the others are gone. Final only together with the dotted write that follows, as with <see cref="Discard"/>.</summary>
    public DottedObject KeepWinner()
    {
        if (SiblingCount < 2)
        {
            return this;
        }

        Dot winner = Winner.Dot;
        bool counts = Array.Exists(_values, value => value.Dot == winner && value.IsCounter);
        return new DottedObject(Array.FindAll(_values, value => counts ? value.IsCounter : value.Dot == winner), Context);
    }

    /// <summary>How many live values a stored record of either regime holds, without reading them.</summary>
    public static int PeekSiblings(ReadOnlyMemory<byte> record)
    {
        if (record.IsEmpty || OrderedRecord.IsOrdered(record.Span))
        {
            return record.IsEmpty ? 0 : 1;
        }

        if (record.Span[0] == ExtendedTag)
        {
            return Decode(record).SiblingCount;
        }

        BinaryCursor input = new(record[1..]);
        return input.ReadCount(MinValueBytes);
    }

    public bool Holds(Dot dot)
    {
        foreach (ref readonly DottedValue value in _values.AsSpan())
        {
            if (value.Dot == dot)
            {
                return true;
            }
        }

        return false;
    }

    public void Encode(IBufferWriter<byte> output)
    {
        EncodeValues(output);
        Context.Encode(output);
    }

    /// <summary>All of the record but the context: what digests are made of.</summary>
    public void EncodeValues(IBufferWriter<byte> output)
    {
        bool extended = !ArePlain();
        VarInt.WriteByte(output, extended ? ExtendedTag : Tag);
        VarInt.Write(output, (ulong)_values.Length);
        foreach (ref readonly DottedValue value in _values.AsSpan())
        {
            VarInt.WriteDot(output, value.Dot);
            VarInt.WriteFixed64(output, value.Timestamp.Packed);
            if (extended)
            {
                ValueFlags.Write(output, value.Form, value.ExpiresMs);
            }

            VarInt.WriteBytes(output, value.Value.Span);
        }
    }

    /// <summary>Reads a stored record of either regime. Values are slices of the record.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static DottedObject Decode(ReadOnlyMemory<byte> record)
    {
        if (OrderedRecord.IsOrdered(record.Span))
        {
            return FromOrdered(OrderedRecord.Decode(record));
        }

        BinaryCursor input = new(record);
        DottedObject decoded = Decode(ref input);
        input.ExpectEnd();
        return decoded;
    }

    /// <summary>Reads an object, of either tag, out of a longer message.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such object.</exception>
    public static DottedObject Decode(ref BinaryCursor input)
    {
        byte tag = input.ReadByte();
        if (tag is not (Tag or ExtendedTag))
        {
            MalformedRecordException.Throw("an object has an unknown tag");
        }

        bool plain = true;
        int count = input.ReadCount(MinValueBytes);
        DottedValue[] values = count == 0 ? [] : new DottedValue[count];
        for (int i = 0; i < count; i++)
        {
            Dot dot = input.ReadDot();
            if (i > 0 && values[i - 1].Dot.CompareTo(dot) >= 0)
            {
                MalformedRecordException.Throw("an object's values are not sorted");
            }

            HybridTimestamp timestamp = new(input.ReadFixed64());
            (ValueForm form, ulong expiresMs) = tag == ExtendedTag ? ValueFlags.Read(ref input) : default;
            values[i] = new DottedValue(dot, timestamp, input.ReadBytes()) { Form = form, ExpiresMs = expiresMs };
            plain &= values[i].IsPlain;
            if (form == ValueForm.Counter)
            {
                CounterTotal.Decode(values[i].Value);
            }
        }

        if (plain != (tag == Tag))
        {
            MalformedRecordException.Throw("an object has the tag of another form");
        }

        VersionVector context = VersionVector.Decode(ref input);
        return count == 0 && context.IsEmpty ? Empty : new DottedObject(values, context);
    }

    public bool Equals(DottedObject? other) => other is not null && _values.AsSpan().SequenceEqual(other._values) && Context.Equals(other.Context);

    public override bool Equals(object? obj) => Equals(obj as DottedObject);

    public override int GetHashCode() => (Context.GetHashCode() * 31) + _values.Length;

    public override string ToString() => $"[{string.Join(' ', _values.Select(value => value.Dot))} | {Context}]";

    private static bool IsGone(in DottedValue value, bool counterGone, ulong nowMs)
        => value.IsCounter ? counterGone : value.ExpiresMs != 0 && value.ExpiresMs <= nowMs;

    private bool ArePlain()
    {
        foreach (ref readonly DottedValue value in _values.AsSpan())
        {
            if (!value.IsPlain)
            {
                return false;
            }
        }

        return true;
    }

    private DottedValue Visible(int index)
    {
        DottedValue value = _values[index];
        return value.IsCounter
            ? value with { Form = ValueForm.Bytes, Value = CounterTotal.ToText(DottedCounter.Clamp(DottedCounter.SumOf(this))), ExpiresMs = DottedCounter.ExpiryOf(this) }
            : value;
    }

    private DottedObject WithContext(VersionVector context)
        => ReferenceEquals(context, Context) ? this : _values.Length == 0 && context.IsEmpty ? Empty : new DottedObject(_values, context);

    /// <summary>Whether a join with the other drops none of this one's values.</summary>
    private static bool KeepsAllAgainst(DottedObject one, DottedObject other)
    {
        foreach (ref readonly DottedValue value in one._values.AsSpan())
        {
            if (other.Context.Covers(value.Dot) && !other.Holds(value.Dot))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether a join adds none of the inner one's values to the outer one's.</summary>
    private static bool IsSubset(DottedObject inner, DottedObject outer)
    {
        foreach (ref readonly DottedValue value in inner._values.AsSpan())
        {
            if (!outer.Context.Covers(value.Dot) && !outer.Holds(value.Dot))
            {
                return false;
            }
        }

        return true;
    }

    private static DottedValue[] MergeValues(DottedObject a, DottedObject b)
    {
        List<DottedValue> merged = new(a._values.Length + b._values.Length);
        int i = 0, j = 0;
        while (i < a._values.Length || j < b._values.Length)
        {
            int order = i == a._values.Length ? 1 : j == b._values.Length ? -1 : a._values[i].Dot.CompareTo(b._values[j].Dot);
            if (order == 0)
            {
                merged.Add(a._values[i]);
            }
            else if (order < 0 && !b.Context.Covers(a._values[i].Dot))
            {
                merged.Add(a._values[i]);
            }
            else if (order > 0 && !a.Context.Covers(b._values[j].Dot))
            {
                merged.Add(b._values[j]);
            }

            i += order <= 0 ? 1 : 0;
            j += order >= 0 ? 1 : 0;
        }

        return [.. merged];
    }
}

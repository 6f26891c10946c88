using System.Buffers;

namespace KvStore.Core.Versioning;

/// <summary>
/// What a reader saw of a key in an open keyspace: the live dots, and the context of the filled object. Clients carry it as opaque bytes and hand it back to write in its context.
/// </summary>
public sealed class ObjectVersion
{
    /// <summary>First byte of the encoding.</summary>
    public const byte Format = 0x01;

    private readonly Dot[] _liveDots;

    private ObjectVersion(Dot[] liveDots, VersionVector context)
    {
        _liveDots = liveDots;
        Context = context;
    }

    /// <summary>Sorted.</summary>
    public ReadOnlySpan<Dot> LiveDots => _liveDots;

    public VersionVector Context { get; }

    /// <param name="filled">The object as it was answered, filled with the clock of who answered.</param>
    public static ObjectVersion Of(DottedObject filled)
    {
        Dot[] dots = new Dot[filled.Values.Length];
        for (int i = 0; i < dots.Length; i++)
        {
            dots[i] = filled.Values[i].Dot;
        }

        return new ObjectVersion(dots, filled.Context);
    }

    /// <summary>Whether the object's live values are exactly those that were seen.</summary>
    public bool Matches(DottedObject current)
    {
        if (current.Values.Length != _liveDots.Length)
        {
            return false;
        }

        for (int i = 0; i < _liveDots.Length; i++)
        {
            if (current.Values[i].Dot != _liveDots[i])
            {
                return false;
            }
        }

        return true;
    }

    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.WriteByte(output, Format);
        VarInt.Write(output, (ulong)_liveDots.Length);
        foreach (Dot dot in _liveDots)
        {
            VarInt.WriteDot(output, dot);
        }

        Context.Encode(output);
    }

    /// <summary>Whether the bytes look like a version of this kind.</summary>
    public static bool IsOne(ReadOnlySpan<byte> bytes) => bytes.Length > 0 && bytes[0] == Format;

    /// <exception cref="MalformedRecordException">The bytes are no version. They came from a client: answer that the argument is invalid.</exception>
    public static ObjectVersion Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        if (input.ReadByte() != Format)
        {
            MalformedRecordException.Throw("a version has an unknown format");
        }

        Dot[] dots = new Dot[input.ReadCount(2)];
        for (int i = 0; i < dots.Length; i++)
        {
            dots[i] = input.ReadDot();
            if (i > 0 && dots[i - 1].CompareTo(dots[i]) >= 0)
            {
                MalformedRecordException.Throw("a version's dots are not sorted");
            }
        }

        VersionVector context = VersionVector.Decode(ref input);
        input.ExpectEnd();
        return new ObjectVersion(dots, context);
    }
}

using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>What a page of anti-entropy is. Numbers are part of the wire format.</summary>
public enum PullAnswer : byte
{
    /// <summary>The last page: the asker then has all that the answerer had.</summary>
    Complete = 1,

    /// <summary>Pull again.</summary>
    More = 2,

    /// <summary>The asker lacks dots whose keys the answerer has forgotten: copy everything.</summary>
    FullCopyNeeded = 3,

    /// <summary>The answerer is recovering itself: ask somebody else.</summary>
    NoSource = 4,
}

/// <summary>
/// One key of a page: every dot of it that the asker lacks and the answerer has, superseded and deleted ones included, and its filled object (an absent one as empty,
/// which is how deletes travel).
/// </summary>
public readonly record struct PulledKey(Key Key, Dot[] Dots, DottedObject Object)
{
    /// <summary>The answerer has evicted the key: what the dots did is not known there any more.</summary>
    public bool IsUnknown => Object.IsVacant;
}

/// <summary>
/// The answer to a pull. Consistent in itself: a key comes with all its missing dots, so whoever joins the objects and adds exactly these dots holds, for every dot of its clock, exactly
/// what that dot did. Pages may be lost, repeated and reordered.
/// </summary>
/// <param name="Answer">What else there is.</param>
/// <param name="Asker">Who asked: a page is good only for the incarnation whose clock it completes (a power loss may have taken back part of what that clock said).</param>
/// <param name="Keys">May be empty.</param>
public sealed record PullPage(PullAnswer Answer, ActorId Asker, IReadOnlyList<PulledKey> Keys)
{
    private const byte LetGoFlag = 0x80;

    /// <summary>Not null: the answerer keeps objects in memory only, and this is what it has evicted, and the contexts of what it withheld: among it whatever the dots of its unknown keys had superseded.</summary>
    public VersionVector? LetGo { get; init; }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static PullPage Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        byte head = input.ReadByte();
        PullAnswer answer = (PullAnswer)(head & ~LetGoFlag);
        if (answer is < PullAnswer.Complete or > PullAnswer.NoSource)
        {
            MalformedRecordException.Throw("a page is of no known kind");
        }

        ActorId asker = input.ReadActor();
        VersionVector? letGo = (head & LetGoFlag) != 0 ? VersionVector.Decode(ref input) : null;
        List<PulledKey> keys = [];
        while (input.Remaining > 0)
        {
            Key key = input.ReadKey();
            Dot[] dots = new Dot[input.ReadCount(2)];
            for (int i = 0; i < dots.Length; i++)
            {
                dots[i] = input.ReadDot();
            }

            DottedObject filled = DottedObject.Decode(ref input);
            if (!filled.IsVacant)
            {
                MessageChecks.ExpectCovered(filled, dots);
            }

            keys.Add(new PulledKey(key, dots, filled));
        }

        return new PullPage(answer, asker, keys) { LetGo = letGo };
    }

    /// <summary>Whether an object says what these dots did. Always, where nothing is evicted.</summary>
    internal static bool Accounts(DottedObject filled, ReadOnlySpan<Dot> dots)
    {
        foreach (Dot dot in dots)
        {
            if (!filled.Context.Covers(dot))
            {
                return false;
            }
        }

        return true;
    }

    internal static void EncodeHeader(IBufferWriter<byte> output, PullAnswer answer, ActorId asker, VersionVector? letGo)
    {
        VarInt.WriteByte(output, (byte)((byte)answer | (letGo is null ? 0 : LetGoFlag)));
        VarInt.Write(output, asker.Value);
        letGo?.Encode(output);
    }

    internal static void EncodeKey(IBufferWriter<byte> output, Key key, ReadOnlySpan<Dot> dots, DottedObject filled)
    {
        VarInt.WriteBytes(output, key.Span);
        VarInt.Write(output, (ulong)dots.Length);
        foreach (Dot dot in dots)
        {
            VarInt.WriteDot(output, dot);
        }

        filled.Encode(output);
    }
}

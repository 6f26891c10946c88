using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>Asks for the next range of a full copy.</summary>
/// <param name="Asker">Decides, if two ask one another, who goes first.</param>
/// <param name="Attempt">Comes back with the page: one that was asked for before the asker gave up and began anew must not be joined (three replicas could each be waiting for the next).</param>
/// <param name="After">The range begins behind this key; empty: at the first key (and the source forgets what it thought the asker had).</param>
public readonly record struct FullCopyRequest(ActorId Asker, ulong Attempt, ReadOnlyMemory<byte> After)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, Asker.Value);
        VarInt.Write(output, Attempt);
        VarInt.WriteBytes(output, After.Span);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static FullCopyRequest Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        FullCopyRequest request = Decode(ref input);
        input.ExpectEnd();
        return request;
    }

    internal static FullCopyRequest Decode(ref BinaryCursor input)
    {
        return new FullCopyRequest(input.ReadActor(), input.ReadVarInt(), input.ReadBytes());
    }
}

/// <summary>
/// What the source knew at the instant at which a range was read: take it in the turn in which the scan begins (after a seal), because objects read later than the clock that fills them
/// would run ahead of it.
/// </summary>
/// <param name="Clock">All that the source has seen.</param>
/// <param name="Unmapped">The part of it that can't be pulled, because the keys are forgotten.</param>
public sealed record CopyCapture(ShardClock Clock, ShardClock Unmapped)
{
    /// <summary>Not null: the source keeps objects in memory only, and this is what it has evicted. Its clock then implies nothing for its objects.</summary>
    public VersionVector? LetGo { get; init; }
}

/// <summary>One key of a range.</summary>
public readonly record struct CopiedKey(Key Key, DottedObject Object);

/// <summary>Every key of a range with its filled object. A key of the range that isn't here is absent at the source: seen, and gone, as far as the clock's base reaches.</summary>
/// <param name="Request">What was asked: the range begins behind its key.</param>
/// <param name="Through">The range ends with this key.</param>
/// <param name="Last">The range ends with the last key there can be, whatever <paramref name="Through"/> says.</param>
/// <param name="Capture">The source's clocks when the range was read.</param>
/// <param name="Keys">In key order.</param>
public sealed record FullCopyPage(FullCopyRequest Request, ReadOnlyMemory<byte> Through, bool Last, CopyCapture Capture, IReadOnlyList<CopiedKey> Keys)
{
    private const byte LastFlag = 1;
    private const byte LetGoFlag = 2;

    public bool Contains(Key key)
        => key.Span.SequenceCompareTo(Request.After.Span) > 0 && (Last || key.Span.SequenceCompareTo(Through.Span) <= 0);

    /// <summary>Encodes a page from the records of a scan of the source's view, as they are stored.</summary>
    /// <param name="output">Where the page goes.</param>
    /// <param name="request">What was asked.</param>
    /// <param name="capture">As taken when the scan began.</param>
    /// <param name="records">Keys and stored records in key order, complete from behind the request's key on.</param>
    /// <param name="last">Whether the scan reached the end of the view.</param>
    public static void Encode(
        IBufferWriter<byte> output,
        in FullCopyRequest request,
        CopyCapture capture,
        IReadOnlyList<(Key Key, ReadOnlyMemory<byte> Record)> records,
        bool last)
    {
        Invariant.Assert(last || records.Count > 0);
        request.Encode(output);
        VarInt.WriteBytes(output, records.Count == 0 ? [] : records[^1].Key.Span);
        VarInt.WriteByte(output, (byte)((last ? LastFlag : 0) | (capture.LetGo is null ? 0 : LetGoFlag)));
        capture.Clock.Encode(output);
        capture.Unmapped.Encode(output);
        capture.LetGo?.Encode(output);
        VersionVector fill = capture.LetGo is null ? capture.Clock.BaseVector : VersionVector.Empty;
        foreach ((Key key, ReadOnlyMemory<byte> record) in records)
        {
            VarInt.WriteBytes(output, key.Span);
            DottedObject.Decode(record).Fill(fill).Encode(output);
        }
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static FullCopyPage Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        FullCopyRequest request = FullCopyRequest.Decode(ref input);
        ReadOnlyMemory<byte> through = input.ReadBytes();
        byte flags = input.ReadByte();
        if (flags > (LastFlag | LetGoFlag))
        {
            MalformedRecordException.Throw("a copied range has unknown flags");
        }

        bool last = (flags & LastFlag) != 0;
        CopyCapture capture = new(ShardClock.Decode(ref input), ShardClock.Decode(ref input)) { LetGo = (flags & LetGoFlag) != 0 ? VersionVector.Decode(ref input) : null };
        List<CopiedKey> keys = [];
        while (input.Remaining > 0)
        {
            Key key = input.ReadKey();
            DottedObject filled = DottedObject.Decode(ref input);
            MessageChecks.ExpectCovered(filled);
            keys.Add(new CopiedKey(key, filled));
        }

        FullCopyPage page = new(request, through, last, capture, keys);
        page.Check();
        return page;
    }

    private void Check()
    {
        ReadOnlySpan<byte> previous = Request.After.Span;
        foreach (CopiedKey copied in Keys)
        {
            if (copied.Key.Span.SequenceCompareTo(previous) <= 0 || !Contains(copied.Key))
            {
                MalformedRecordException.Throw("a copied range is not in order");
            }

            previous = copied.Key.Span;
        }

        if (!Last && Through.IsEmpty)
        {
            MalformedRecordException.Throw("a copied range has no end");
        }

        if (!Capture.Clock.Includes(Capture.Unmapped))
        {
            MalformedRecordException.Throw("a copy's clocks contradict each other");
        }
    }
}

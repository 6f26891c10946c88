using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>The client request behind one dot of an overlay record, so that a retry of it on the ordered path and the merge have one effect.</summary>
public readonly record struct OverlayRequest(Dot Dot, RequestId Request, uint PayloadHash);

/// <summary>
/// What was written to one key outside the log and waits to be merged: the object with the context that it had when it was minted, the dots that it accounts for, and the requests behind them. Immutable.
/// </summary>
/// <remarks>
/// The context is frozen. It says what the writer had seen, so it must never be filled with a later clock: that would erase committed writes that the writer never saw. Where one record holds several
/// writes of its key, each later one had seen what it superseded, and <see cref="Join"/> unites what different writers had seen; nothing else ever adds to it.
/// </remarks>
public sealed class OverlayRecord
{
    /// <summary>
    /// Writes of one key that one record can account for. Each costs a byte or two in every later version of the record, which is why there is a bound. Half of it is left for what is joined.
    /// </summary>
    public const int MaxDots = 16_384;

    private const byte Format = 1;
    private const int MinRequestBytes = 6;

    private readonly Dot[] _dots;
    private readonly OverlayRequest[] _requests;

    /// <param name="key">The key.</param>
    /// <param name="object">Filled with what the writer had seen, and covering every dot.</param>
    /// <param name="dots">The dots that it accounts for, in any order: those of its values, and of what they superseded of this kind. None of the log's.</param>
    /// <param name="requests">The requests behind some of the dots.</param>
    /// <param name="epoch">The epoch in which it was written; of several the latest.</param>
    /// <param name="sinceMs">When the oldest of the writes was made, in Unix milliseconds of the clock of who made it. For people and bounds.</param>
    public OverlayRecord(Key key, DottedObject @object, IEnumerable<Dot> dots, IEnumerable<OverlayRequest> requests, Epoch epoch, ulong sinceMs)
        : this(key, @object, [.. dots.Distinct().Order()], [.. requests.OrderBy(request => request.Dot)], epoch, sinceMs)
    {
        Invariant.Assert(_dots.Length > 0, "an overlay record accounts for something");
        foreach (Dot dot in _dots)
        {
            Invariant.Assert(!dot.Actor.IsLog && @object.Context.Covers(dot), "an overlay record covers its dots, and the log's are not its business");
        }
    }

    private OverlayRecord(Key key, DottedObject @object, Dot[] dots, OverlayRequest[] requests, Epoch epoch, ulong sinceMs)
    {
        Key = key;
        Object = @object;
        _dots = dots;
        _requests = requests;
        Epoch = epoch;
        SinceMs = sinceMs;
    }

    public Key Key { get; }

    public DottedObject Object { get; }

    /// <summary>Sorted.</summary>
    public ReadOnlySpan<Dot> Dots => _dots;

    /// <summary>Sorted by dot.</summary>
    public ReadOnlySpan<OverlayRequest> Requests => _requests;

    public Epoch Epoch { get; }

    public ulong SinceMs { get; }

    /// <summary>
    /// The requests that may still be retried, as far as a later one of the same session tells: the client has promised never to send the others again.
    /// </summary>
    public IEnumerable<OverlayRequest> RequestsBeside(RequestId later) => _requests.Where(request => request.Request.Session != later.Session || request.Request.Sequence > later.AcknowledgedFloor);

    /// <summary>What both say about the key.</summary>
    public static OverlayRecord Join(OverlayRecord a, OverlayRecord b)
    {
        Invariant.Assert(a.Key == b.Key);
        return new OverlayRecord(
            a.Key,
            DottedObject.Sync(a.Object, b.Object),
            a._dots.Concat(b._dots),
            a._requests.Concat(b._requests).DistinctBy(request => request.Dot),
            a.Epoch > b.Epoch ? a.Epoch : b.Epoch,
            Math.Min(a.SinceMs, b.SinceMs));
    }

    /// <summary>Bytes of the key and the values.</summary>
    public int PayloadBytes
    {
        get
        {
            int bytes = Key.Span.Length;
            foreach (ref readonly DottedValue value in Object.Values)
            {
                bytes += value.Value.Length;
            }

            return bytes;
        }
    }

    /// <summary>Whether the clock lacks any of the dots.</summary>
    public bool IsNewTo(ShardClock clock)
    {
        foreach (Dot dot in _dots)
        {
            if (!clock.Covers(dot))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether this one has a dot that the other lacks.</summary>
    public bool IsNewTo(OverlayRecord other)
    {
        foreach (Dot dot in _dots)
        {
            if (Array.BinarySearch(other._dots, dot) < 0)
            {
                return true;
            }
        }

        return false;
    }

    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.WriteByte(output, Format);
        VarInt.WriteBytes(output, Key.Span);
        VarInt.Write(output, Epoch.Value);
        VarInt.Write(output, SinceMs);
        WriteDots(output, _dots);
        VarInt.Write(output, (ulong)_requests.Length);
        foreach (OverlayRequest request in _requests)
        {
            VarInt.WriteDot(output, request.Dot);
            VarInt.Write(output, request.Request.Session);
            VarInt.Write(output, request.Request.Sequence);
            VarInt.Write(output, request.Request.AcknowledgedFloor);
            VarInt.Write(output, request.PayloadHash);
        }

        Object.Encode(output);
    }

    /// <summary>Reads a record out of a longer message. Values are slices of it.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static OverlayRecord Decode(ref BinaryCursor input)
    {
        if (input.ReadByte() != Format)
        {
            MalformedRecordException.Throw("an overlay record has an unknown format");
        }

        Key key = input.ReadKey();
        Epoch epoch = new(input.ReadVarInt());
        ulong sinceMs = input.ReadVarInt();
        Dot[] dots = ReadDots(ref input);
        OverlayRequest[] requests = new OverlayRequest[input.ReadCount(MinRequestBytes)];
        for (int i = 0; i < requests.Length; i++)
        {
            Dot dot = input.ReadDot();
            var request = new RequestId(input.ReadVarInt(), input.ReadVarInt(), input.ReadVarInt());
            requests[i] = new OverlayRequest(dot, request, (uint)input.ReadVarInt());
            if (Array.BinarySearch(dots, dot) < 0 || request.IsNone || (i > 0 && requests[i - 1].Dot.CompareTo(dot) >= 0))
            {
                MalformedRecordException.Throw("the requests of an overlay record are not those of its dots");
            }
        }

        DottedObject @object = DottedObject.Decode(ref input);
        foreach (Dot dot in dots)
        {
            if (!@object.Context.Covers(dot))
            {
                MalformedRecordException.Throw("an overlay record doesn't cover its dots");
            }
        }

        return new OverlayRecord(key, @object, dots, requests, epoch, sinceMs);
    }

    /// <summary>Reads a record that stands alone.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static OverlayRecord Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        OverlayRecord record = Decode(ref input);
        input.ExpectEnd();
        return record;
    }

    /// <summary>Actor by actor: how many, then the distances between the counters. A key that is written often costs a byte or two for each write.</summary>
    private static void WriteDots(IBufferWriter<byte> output, Dot[] dots)
    {
        int actors = 0;
        for (int i = 0; i < dots.Length; i++)
        {
            actors += i == 0 || dots[i].Actor != dots[i - 1].Actor ? 1 : 0;
        }

        VarInt.Write(output, (ulong)actors);
        for (int start = 0; start < dots.Length;)
        {
            int end = start;
            while (end < dots.Length && dots[end].Actor == dots[start].Actor)
            {
                end++;
            }

            VarInt.Write(output, dots[start].Actor.Value);
            VarInt.Write(output, (ulong)(end - start));
            ulong previous = 0;
            for (; start < end; start++)
            {
                VarInt.Write(output, dots[start].Counter - previous);
                previous = dots[start].Counter;
            }
        }
    }

    private static Dot[] ReadDots(ref BinaryCursor input)
    {
        var dots = new List<Dot>();
        for (int actors = input.ReadCount(3); actors > 0; actors--)
        {
            ActorId actor = input.ReadActor();
            int count = input.ReadCount(1);
            ulong counter = 0;
            if (actor.IsLog || count == 0 || (dots.Count > 0 && dots[^1].Actor.CompareTo(actor) >= 0))
            {
                MalformedRecordException.Throw("the dots of an overlay record are not sorted, or the log's");
            }

            for (; count > 0; count--)
            {
                ulong distance = input.ReadCounter();
                if (distance > Dot.MaxCounter - counter)
                {
                    MalformedRecordException.Throw("a counter is out of range");
                }

                counter += distance;
                dots.Add(new Dot(actor, counter));
            }
        }

        if (dots.Count == 0)
        {
            MalformedRecordException.Throw("an overlay record accounts for nothing");
        }

        return [.. dots];
    }
}

using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// One write on its way to another replica: the minted dot (a delete's too) and the whole filled object as it stood after the write.
/// Decode it first: the key says which record must be resident before it can be received.
/// </summary>
public readonly struct ReplicateMessage
{
    private ReplicateMessage(ulong operation, in RequestId request, Key key, Dot dot, DottedObject filled)
    {
        Operation = operation;
        Request = request;
        Key = key;
        Dot = dot;
        Object = filled;
    }

    /// <summary>The sender's number for matching the acknowledgement. Zero: none is wanted.</summary>
    public ulong Operation { get; }

    public bool WantsAcknowledgement => Operation != 0;

    /// <summary>Which request of a client it is, so that a retry here is known; without the floor. None: of no client, or of one that sends none.</summary>
    public RequestId Request { get; }

    public Key Key { get; }

    public Dot Dot { get; }

    /// <summary>Filled with the sender's clock. Values are slices of the message.</summary>
    public DottedObject Object { get; }

    public static void Encode(IBufferWriter<byte> output, ulong operation, Key key, Dot dot, DottedObject filled, in RequestId request = default)
    {
        VarInt.Write(output, operation);
        VarInt.Write(output, request.IsNone ? 0 : request.Sequence);
        if (!request.IsNone && request.Sequence != 0)
        {
            VarInt.WriteFixed64(output, request.Session);
        }

        VarInt.WriteBytes(output, key.Span);
        VarInt.WriteDot(output, dot);
        filled.Encode(output);
    }

    /// <summary>Where the key stands in an encoded message, without a look at the rest. Empty where that can't be told: <see cref="Decode"/> says why.</summary>
    public static ReadOnlyMemory<byte> PeekKey(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            BinaryCursor input = new(bytes);
            input.ReadVarInt();
            if (input.ReadVarInt() != 0)
            {
                input.ReadFixed64();
            }

            return input.ReadBytes();
        }
        catch (MalformedRecordException)
        {
            return default;
        }
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ReplicateMessage Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ulong operation = input.ReadVarInt();
        ulong sequence = input.ReadVarInt();
        RequestId request = sequence == 0 ? RequestId.None : new RequestId(input.ReadFixed64(), sequence, 0);
        Key key = input.ReadKey();
        Dot dot = input.ReadDot();
        DottedObject filled = DottedObject.Decode(ref input);
        input.ExpectEnd();
        MessageChecks.ExpectCovered(filled, dot);
        return new ReplicateMessage(operation, request, key, dot, filled);
    }
}

internal static class MessageChecks
{
    /// <summary>A message's object must account for the dots that it is sent for, and for its own values.</summary>
    public static void ExpectCovered(DottedObject filled, params ReadOnlySpan<Dot> dots)
    {
        foreach (Dot dot in dots)
        {
            if (!filled.Context.Covers(dot))
            {
                MalformedRecordException.Throw("an object doesn't account for its dot");
            }
        }

        foreach (ref readonly DottedValue value in filled.Values)
        {
            if (!filled.Context.Covers(value.Dot))
            {
                MalformedRecordException.Throw("an object doesn't account for its own value");
            }
        }
    }
}

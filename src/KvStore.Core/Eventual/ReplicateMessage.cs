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
    private ReplicateMessage(ulong operation, Key key, Dot dot, DottedObject filled)
    {
        Operation = operation;
        Key = key;
        Dot = dot;
        Object = filled;
    }

    /// <summary>The sender's number for matching the acknowledgement. Zero: none is wanted.</summary>
    public ulong Operation { get; }

    public bool WantsAcknowledgement => Operation != 0;

    public Key Key { get; }

    public Dot Dot { get; }

    /// <summary>Filled with the sender's clock. Values are slices of the message.</summary>
    public DottedObject Object { get; }

    public static void Encode(IBufferWriter<byte> output, ulong operation, Key key, Dot dot, DottedObject filled)
    {
        VarInt.Write(output, operation);
        VarInt.WriteBytes(output, key.Span);
        VarInt.WriteDot(output, dot);
        filled.Encode(output);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ReplicateMessage Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ulong operation = input.ReadVarInt();
        Key key = input.ReadKey();
        Dot dot = input.ReadDot();
        DottedObject filled = DottedObject.Decode(ref input);
        input.ExpectEnd();
        MessageChecks.ExpectCovered(filled, dot);
        return new ReplicateMessage(operation, key, dot, filled);
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

using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>Asks a replica for one key, for a read that joins what several replicas hold.</summary>
public readonly record struct ReadRequest(ulong Operation, Key Key)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, Operation);
        VarInt.WriteBytes(output, Key.Span);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ReadRequest Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ReadRequest request = new(input.ReadVarInt(), input.ReadKey());
        input.ExpectEnd();
        return request;
    }
}

/// <summary>
/// A replica's filled object. Join the answers with <see cref="DottedObject.Sync"/> for the reader; never store the join: it comes without the dots that explain it
/// (counterexample C3). A reader that saw a difference repairs it by pulling.
/// </summary>
/// <param name="Operation">As in the request.</param>
/// <param name="Recovering">The answer may be incomplete and doesn't count towards the quorum.</param>
/// <param name="Object">Filled with the answerer's clock.</param>
public sealed record ReadResponse(ulong Operation, bool Recovering, DottedObject Object)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, Operation);
        VarInt.WriteByte(output, Recovering ? (byte)1 : (byte)0);
        Object.Encode(output);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ReadResponse Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ulong operation = input.ReadVarInt();
        bool recovering = input.ReadBool();
        DottedObject filled = DottedObject.Decode(ref input);
        input.ExpectEnd();
        MessageChecks.ExpectCovered(filled);
        return new ReadResponse(operation, recovering, filled);
    }
}

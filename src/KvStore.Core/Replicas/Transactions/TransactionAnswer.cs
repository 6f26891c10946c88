using System.Buffers;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Transactions;

/// <summary>What one step of a transaction came to.</summary>
/// <param name="Kind">Get, put or delete.</param>
public readonly record struct StepAnswer(OperationKind Kind)
{
    /// <summary>Gets: whether the key had a value.</summary>
    public bool Found { get; init; }

    /// <summary>Gets: the value, or the winner among several.</summary>
    public ReadOnlyMemory<byte> Value { get; init; }

    /// <summary>The key's version as clients carry it, after a put or as a get found it. Empty: there is no value.</summary>
    public ReadOnlyMemory<byte> Version { get; init; }

    /// <summary>Gets: how many values the key has, where a merge has left several; otherwise zero.</summary>
    public int SiblingCount { get; init; }

    /// <summary>Gets: when the value expires, in Unix milliseconds. Zero: never.</summary>
    public ulong ExpiresMs { get; init; }
}

/// <summary>
/// What a transaction came to: which branch was carried out, and what each of its steps came to. The same on every replica. Remembered whole with the request, because what a get returned can't be found again.
/// </summary>
/// <param name="Held">All comparisons held: the branch is "then".</param>
/// <param name="Steps">In the order of the branch.</param>
public sealed record TransactionAnswer(bool Held, IReadOnlyList<StepAnswer> Steps)
{
    /// <summary>Bytes of values that one transaction may return: it answers in one message, and is remembered until its client has the answer.</summary>
    public const int MaxBytes = 1_048_576;

    public byte[] Encode()
    {
        var output = new ArrayBufferWriter<byte>(64);
        VarInt.WriteByte(output, Held ? (byte)1 : (byte)0);
        VarInt.Write(output, (ulong)Steps.Count);
        foreach (StepAnswer step in Steps)
        {
            VarInt.WriteByte(output, (byte)((byte)step.Kind | (step.Found ? FoundBit : 0)));
            if (step.Kind != OperationKind.Delete)
            {
                VarInt.WriteBytes(output, step.Version.Span);
            }

            if (step.Found)
            {
                VarInt.WriteBytes(output, step.Value.Span);
                VarInt.Write(output, (ulong)step.SiblingCount);
                VarInt.Write(output, step.ExpiresMs);
            }
        }

        return output.WrittenSpan.ToArray();
    }

    /// <exception cref="MalformedRecordException">The bytes are no such answer.</exception>
    public static TransactionAnswer Decode(ReadOnlyMemory<byte> encoded)
    {
        BinaryCursor input = new(encoded);
        bool held = input.ReadBool();
        var steps = new StepAnswer[input.ReadCount(1)];
        for (int i = 0; i < steps.Length; i++)
        {
            byte head = input.ReadByte();
            var kind = (OperationKind)(head & ~FoundBit);
            bool found = (head & FoundBit) != 0;
            ReadOnlyMemory<byte> version = kind == OperationKind.Delete ? default : input.ReadBytes();
            steps[i] = !found
                ? new StepAnswer(kind) { Version = version }
                : new StepAnswer(kind) { Version = version, Found = true, Value = input.ReadBytes(), SiblingCount = (int)input.ReadVarInt(), ExpiresMs = input.ReadVarInt() };
        }

        input.ExpectEnd();
        return new TransactionAnswer(held, steps);
    }

    private const byte FoundBit = 0x80;
}

using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Transactions;

/// <summary>Numbers are those of kv.proto, and part of the log's format.</summary>
public enum ComparisonKind : byte
{
    None = 0,
    Exists = 1,
    Absent = 2,

    /// <summary>The operand is a version, as clients carry it.</summary>
    VersionIs = 3,

    /// <summary>The operand is what a get must return.</summary>
    ValueIs = 4,
}

/// <param name="Kind">What is asked.</param>
/// <param name="Key">Of which key.</param>
/// <param name="Operand">A version or a value; otherwise empty.</param>
public readonly record struct Comparison(ComparisonKind Kind, Key Key, ReadOnlyMemory<byte> Operand = default);

/// <param name="Kind">Get, put or delete.</param>
/// <param name="Key">Of which key.</param>
/// <param name="Value">Puts: what is written.</param>
/// <param name="TtlMs">Puts: as <see cref="ClientOperation.TtlMs"/>.</param>
public readonly record struct TransactionStep(OperationKind Kind, Key Key, ReadOnlyMemory<byte> Value = default, ulong TtlMs = 0);

/// <summary>
/// If all comparisons hold, then one list of steps, else the other: what a client asks of several keys of one shard, and the value of the <see cref="WriteCommand"/> that puts it into the log.
/// Versions stay as the client gave them, so that a retry has the same bytes whatever the shard has learned meanwhile; the state machine reads them.
/// </summary>
public sealed record Transaction(IReadOnlyList<Comparison> Comparisons, IReadOnlyList<TransactionStep> Then, IReadOnlyList<TransactionStep> Otherwise)
{
    /// <summary>Comparisons and steps of both branches, together: a bound on what the apply of one entry does.</summary>
    public const int MaxParts = 128;

    /// <summary>Keys, operands and values together: a transaction is one entry of the log, no larger than one with the largest value.</summary>
    public const int MaxBytes = 1_048_576;

    public int Parts => Comparisons.Count + Then.Count + Otherwise.Count;

    /// <summary>All keys, in the order of the transaction; those of several parts come several times.</summary>
    public IEnumerable<Key> Keys => Comparisons.Select(comparison => comparison.Key).Concat(Then.Select(step => step.Key)).Concat(Otherwise.Select(step => step.Key));

    public long Bytes => Comparisons.Sum(comparison => (long)comparison.Key.Bytes.Length + comparison.Operand.Length) + BytesOf(Then) + BytesOf(Otherwise);

    /// <summary>What is wrong with the transaction in itself, or null.</summary>
    public string? FindFault()
    {
        if (Parts is 0 or > MaxParts)
        {
            return $"A transaction has 1 to {MaxParts} comparisons and operations, both branches counted; this one has {Parts}.";
        }

        foreach (Comparison comparison in Comparisons)
        {
            if (comparison.Kind is < ComparisonKind.Exists or > ComparisonKind.ValueIs)
            {
                return $"The comparison {(int)comparison.Kind} is not known here.";
            }

            if (comparison.Kind == ComparisonKind.VersionIs && comparison.Operand.IsEmpty)
            {
                return $"The comparison of '{comparison.Key}' names no version: to ask for a key without a value, compare with absent.";
            }
        }

        return FaultIn(Then, "then") ?? FaultIn(Otherwise, "otherwise");
    }

    /// <summary>
    /// <code>
    /// comparisons  their number; each: kind, key, operand
    /// then         their number; each: kind, key; a put also time to live and value
    /// otherwise    the same
    /// </code>
    /// </summary>
    public byte[] Encode()
    {
        var output = new ArrayBufferWriter<byte>(256);
        VarInt.Write(output, (ulong)Comparisons.Count);
        foreach (Comparison comparison in Comparisons)
        {
            VarInt.WriteByte(output, (byte)comparison.Kind);
            VarInt.WriteBytes(output, comparison.Key.Span);
            VarInt.WriteBytes(output, comparison.Operand.Span);
        }

        Encode(output, Then);
        Encode(output, Otherwise);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Keys, operands and values are slices of the encoding.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no transaction.</exception>
    public static Transaction Decode(ReadOnlyMemory<byte> encoded)
    {
        BinaryCursor input = new(encoded);
        var comparisons = new Comparison[input.ReadCount(3)];
        for (int i = 0; i < comparisons.Length; i++)
        {
            comparisons[i] = new Comparison((ComparisonKind)input.ReadByte(), input.ReadKey(), input.ReadBytes());
        }

        var transaction = new Transaction(comparisons, DecodeSteps(ref input), DecodeSteps(ref input));
        input.ExpectEnd();
        return transaction;
    }

    private static long BytesOf(IReadOnlyList<TransactionStep> steps) => steps.Sum(step => (long)step.Key.Bytes.Length + step.Value.Length);

    private static string? FaultIn(IReadOnlyList<TransactionStep> steps, string branch)
    {
        var written = new HashSet<Key>();
        foreach (TransactionStep step in steps)
        {
            if (step.Kind is not (OperationKind.Get or OperationKind.Put or OperationKind.Delete))
            {
                return "The operations of a transaction are gets, puts and deletes.";
            }

            if (step.TtlMs is > ClientOperation.MaxTtlMs and not ClientOperation.NoExpiry)
            {
                return $"The time to live of {step.TtlMs} ms is out of bounds: give 1 to {ClientOperation.MaxTtlMs} ms (10 years), or none.";
            }

            if (step.Kind != OperationKind.Put && (step.TtlMs != 0 || !step.Value.IsEmpty))
            {
                return "A value and a time to live are for puts; leave them out.";
            }

            if (step.Kind != OperationKind.Get && !written.Add(step.Key))
            {
                return $"The branch '{branch}' writes the key '{step.Key}' twice; only the last could remain. Write each key once.";
            }
        }

        return null;
    }

    private static void Encode(ArrayBufferWriter<byte> output, IReadOnlyList<TransactionStep> steps)
    {
        VarInt.Write(output, (ulong)steps.Count);
        foreach (TransactionStep step in steps)
        {
            VarInt.WriteByte(output, (byte)step.Kind);
            VarInt.WriteBytes(output, step.Key.Span);
            if (step.Kind == OperationKind.Put)
            {
                VarInt.Write(output, step.TtlMs);
                VarInt.WriteBytes(output, step.Value.Span);
            }
        }
    }

    private static TransactionStep[] DecodeSteps(ref BinaryCursor input)
    {
        var steps = new TransactionStep[input.ReadCount(3)];
        for (int i = 0; i < steps.Length; i++)
        {
            var kind = (OperationKind)input.ReadByte();
            Key key = input.ReadKey();
            (ulong ttlMs, ReadOnlyMemory<byte> value) = (0, default);
            if (kind == OperationKind.Put)
            {
                ttlMs = input.ReadVarInt();
                value = input.ReadBytes();
            }

            steps[i] = new TransactionStep(kind, key, value, ttlMs);
        }

        return steps;
    }
}

using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;

namespace KvStore.Node.Loops;

/// <summary>Checks a transaction from the wire, finds the one shard it is for, and turns it into what the shard's log carries; and its answer back.</summary>
internal static class TransactionMapper
{
    /// <summary>A key of the transaction as it came, which tells the shard if they all share one; empty where it has none.</summary>
    public static ReadOnlyMemory<byte> AnyKey(Contracts.V1.Transaction message) => message.Comparisons.Select(comparison => comparison.Key)
        .Concat(message.Then.Concat(message.Otherwise).Select(operation => operation.Key))
        .FirstOrDefault()?.Memory ?? default;

    /// <param name="wire">The operation: its key becomes the transaction's first, its value what the log carries.</param>
    /// <param name="shardCount">Of the keyspace.</param>
    /// <param name="code">What kind of complaint it is.</param>
    /// <returns>What is wrong, or null.</returns>
    public static string? Prepare(ref WireOperation wire, int shardCount, out RefusalCode code)
    {
        code = RefusalCode.InvalidArgument;
        if (wire.Condition != Contracts.V1.WriteCondition.Unspecified || !wire.Version.IsEmpty || wire.TtlMs != 0 || !wire.Value.IsEmpty)
        {
            return "A transaction states its comparisons, values and times to live inside, and has none besides.";
        }

        Contracts.V1.Transaction message;
        try
        {
            message = Contracts.V1.Transaction.Parser.ParseFrom(wire.Transaction.Span);
        }
        catch (InvalidProtocolBufferException)
        {
            return "The transaction can't be read: it is no kvstore.v1.Transaction.";
        }

        if (FindBadSize(message, out code) is { } complaint)
        {
            return complaint;
        }

        Transaction transaction = new([.. message.Comparisons.Select(Of)], [.. message.Then.Select(Of)], [.. message.Otherwise.Select(Of)]);
        if ((transaction.FindFault() ?? FindOtherShard(transaction, shardCount)) is { } fault)
        {
            code = RefusalCode.InvalidArgument;
            return fault;
        }

        wire.Key = transaction.Keys.First().Bytes;
        wire.Value = transaction.Encode();
        return null;
    }

    /// <summary>An encoded kvstore.v1.TransactionResult.</summary>
    /// <param name="answer">What the replica says.</param>
    /// <param name="wallMs">Now, for what is left of times to live.</param>
    public static ReadOnlyMemory<byte> Encode(TransactionAnswer answer, ulong wallMs)
    {
        var message = new Contracts.V1.TransactionResult { Branch = answer.Held ? Contracts.V1.TransactionBranch.Then : Contracts.V1.TransactionBranch.Otherwise };
        message.Results.AddRange(answer.Steps.Select(step => new Contracts.V1.TransactionOperationResult
        {
            Kind = (Contracts.V1.OperationKind)step.Kind,
            Found = step.Found,
            Value = UnsafeByteOperations.UnsafeWrap(step.Value),
            Version = UnsafeByteOperations.UnsafeWrap(step.Version),
            SiblingCount = (uint)step.SiblingCount,
            ExpiresInMs = step.ExpiresMs == 0 ? 0 : Math.Max(1, step.ExpiresMs - Math.Min(step.ExpiresMs, wallMs)),
        }));
        return message.ToByteArray();
    }

    private static Comparison Of(Contracts.V1.Comparison comparison) => new(
        (ComparisonKind)comparison.Kind,
        new Key(comparison.Key.Memory),
        comparison.Kind switch
        {
            Contracts.V1.ComparisonKind.VersionIs => comparison.Version.Memory,
            Contracts.V1.ComparisonKind.ValueIs => comparison.Value.Memory,
            _ => default,
        });

    private static TransactionStep Of(Contracts.V1.TransactionOperation operation) => new((OperationKind)operation.Kind, new Key(operation.Key.Memory), operation.Value.Memory, operation.TtlMs);

    /// <summary>Lengths first: what is out of bounds is not worth more work, and makes no key.</summary>
    private static string? FindBadSize(Contracts.V1.Transaction message, out RefusalCode code)
    {
        long bytes = 0;
        foreach (ByteString key in message.Comparisons.Select(comparison => comparison.Key).Concat(message.Then.Concat(message.Otherwise).Select(operation => operation.Key)))
        {
            if (key.Length is 0 or > KvLimits.MaxKeyBytes)
            {
                code = key.Length == 0 ? RefusalCode.InvalidArgument : RefusalCode.TooLarge;
                return $"A key of the transaction has {key.Length} bytes; a key has 1 to {KvLimits.MaxKeyBytes} bytes.";
            }

            bytes += key.Length;
        }

        code = RefusalCode.TooLarge;
        foreach (Contracts.V1.Comparison comparison in message.Comparisons)
        {
            if (comparison.Version.Length > KvLimits.MaxVersionBytes)
            {
                return $"A version of the transaction has {comparison.Version.Length} bytes; pass one back as a read returned it.";
            }

            bytes += comparison.Version.Length + comparison.Value.Length;
        }

        bytes += message.Then.Concat(message.Otherwise).Sum(operation => (long)operation.Value.Length);
        return bytes > KvLimits.MaxTransactionBytes
            ? $"The keys, versions and values of the transaction have {bytes} bytes together; at most {KvLimits.MaxTransactionBytes} are allowed."
            : null;
    }

    private static string? FindOtherShard(Transaction transaction, int shardCount)
    {
        Key first = transaction.Keys.First();
        int shard = KeyRouting.ShardOf(first.Span, shardCount);
        foreach (Key key in transaction.Keys)
        {
            if (KeyRouting.ShardOf(key.Span, shardCount) != shard)
            {
                return $"The keys '{Short(first)}' and '{Short(key)}' are in different shards, and a transaction is done in one. "
                    + "Give the keys that belong together the same tag in braces, such as {user7}/cart and {user7}/orders: only the tag decides the shard then.";
            }
        }

        return null;
    }

    private static string Short(Key key) => key.ToString() is { Length: > 64 } text ? text[..64] + "..." : key.ToString();
}

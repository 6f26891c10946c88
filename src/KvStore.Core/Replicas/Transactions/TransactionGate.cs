using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Transactions;

/// <summary>What a leader does with a transaction before it proposes it.</summary>
internal static class TransactionGate
{
    public static readonly string AnswerTooLong =
        $"The values that the transaction would return have more than {TransactionAnswer.MaxBytes} bytes together; it had no effect. Read fewer of them in one transaction.";

    /// <summary>What is wrong with the transaction, or null: what is in the log, every replica must be able to apply.</summary>
    public static string? FindFault(in ClientOperation operation)
    {
        if (operation.Condition != WriteCondition.None)
        {
            return "A transaction has its own comparisons, and no condition besides.";
        }

        Transaction transaction = Transaction.Decode(operation.Value);
        if (transaction.FindFault() is { } fault)
        {
            return fault;
        }

        foreach (Comparison comparison in transaction.Comparisons)
        {
            if (comparison.Kind == ComparisonKind.VersionIs && !IsVersion(comparison.Operand))
            {
                return $"The version to compare '{comparison.Key}' with is none of this keyspace's: pass one back as a read of the same keyspace returned it.";
            }
        }

        return null;
    }

    /// <summary>What has expired of the keys goes first: to a transaction too it is absent.</summary>
    public static void ExpireBefore(in ClientOperation operation, OrderedExpirer expirer)
    {
        foreach (Key key in Transaction.Decode(operation.Value).Keys.Distinct())
        {
            expirer.ExpireBefore(key.Span);
        }
    }

    private static bool IsVersion(ReadOnlyMemory<byte> version)
    {
        try
        {
            RecordVersions.ReadExpected(version);
            return true;
        }
        catch (MalformedRecordException)
        {
            return false;
        }
    }
}

using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>
/// The operations of one branch of a <see cref="KvTxn"/>, done in this order: a get sees the puts and deletes that stand before it. A branch writes a key once at most.
/// </summary>
public sealed class KvTxnBranch
{
    private readonly List<(TransactionOperation Operation, Func<IKvSerializer, ReadOnlyMemory<byte>>? Value)> _operations = [];

    internal KvTxnBranch()
    {
    }

    /// <summary>How many operations the branch has so far.</summary>
    public int Count => _operations.Count;

    /// <summary>Sets a value.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The value.</param>
    /// <param name="ttl">How long it lives, 1 ms to 10 years. Null: the keyspace's default; <see cref="Timeout.InfiniteTimeSpan"/>: for ever, whatever that default is.</param>
    public KvTxnBranch Put<T>(KvKey key, T value, TimeSpan? ttl = null)
    {
        var operation = new TransactionOperation { Kind = OperationKind.Put, Key = Bytes(key), TtlMs = KeyspaceClient.TtlMs(ttl, nameof(ttl)) };
        _operations.Add((operation, serializer => serializer.Serialize(value)));
        return this;
    }

    /// <summary>Removes a value; done also where there is none.</summary>
    public KvTxnBranch Delete(KvKey key) => Add(key, OperationKind.Delete);

    /// <summary>Reads a value: <see cref="KvTxnResult.Get{T}(KvKey)"/> has it. All values that one transaction reads have at most 1 MiB together.</summary>
    public KvTxnBranch Get(KvKey key) => Add(key, OperationKind.Get);

    internal IEnumerable<TransactionOperation> ToMessages(IKvSerializer serializer)
    {
        foreach ((TransactionOperation operation, Func<IKvSerializer, ReadOnlyMemory<byte>>? value) in _operations)
        {
            if (value is null)
            {
                yield return operation;
                continue;
            }

            ReadOnlyMemory<byte> bytes = value(serializer);
            if (bytes.Length > KvLimits.MaxValueBytes)
            {
                throw new ArgumentException($"A value has at most {KvLimits.MaxValueBytes} bytes; this one has {bytes.Length}.");
            }

            TransactionOperation sent = operation.Clone();
            sent.Value = UnsafeByteOperations.UnsafeWrap(bytes);
            yield return sent;
        }
    }

    internal static ByteString Bytes(KvKey key) =>
        key.Bytes.IsEmpty ? throw new ArgumentException($"A key is 1 to {KvLimits.MaxKeyBytes} bytes; this one is empty.", nameof(key)) : UnsafeByteOperations.UnsafeWrap(key.Bytes);

    private KvTxnBranch Add(KvKey key, OperationKind kind)
    {
        _operations.Add((new TransactionOperation { Kind = kind, Key = Bytes(key) }, null));
        return this;
    }
}

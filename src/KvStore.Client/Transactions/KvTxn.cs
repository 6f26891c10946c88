using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>
/// Compare, then do one of two lists of operations, all at one stroke: for <see cref="IKvKeyspace.TransactAsync"/>. Comparisons and operations see the keys as all that was done before has left them, and nothing comes
/// between them.
/// <para>All keys must live in one shard: give those that belong together the same tag in braces. At most 128 comparisons and operations, with at most 1 MiB of keys, versions and values.</para>
/// <example><code>
/// KvTxnResult moved = await accounts.TransactAsync(new KvTxn()
///     .IfVersion("{bank}/alice", alice.Version)
///     .IfVersion("{bank}/bob", bob.Version)
///     .Then(then => then.Put("{bank}/alice", alice.Value - 10).Put("{bank}/bob", bob.Value + 10))
///     .Else(other => other.Get("{bank}/alice").Get("{bank}/bob")));
/// </code></example>
/// <para>Not safe for several threads while it is being built; it may be sent several times, also at a time, and each sending is a transaction of its own.</para>
/// </summary>
public sealed class KvTxn
{
    private readonly List<(Comparison Comparison, Func<IKvSerializer, ReadOnlyMemory<byte>>? Value)> _comparisons = [];
    private readonly KvTxnBranch _then = new();
    private readonly KvTxnBranch _else = new();

    /// <summary>How many comparisons and operations there are so far; at most 128 may be sent.</summary>
    public int Count => _comparisons.Count + _then.Count + _else.Count;

    /// <summary>Only if the key has a value.</summary>
    public KvTxn IfExists(KvKey key) => Compare(key, ComparisonKind.Exists);

    /// <summary>Only if the key has no value; one that has expired is none.</summary>
    public KvTxn IfAbsent(KvKey key) => Compare(key, ComparisonKind.Absent);

    /// <summary>Only if the key's version is exactly the given one, as a read or a write returned it; with <see cref="KvVersion.Absent"/> only if it has no value.</summary>
    public KvTxn IfVersion(KvKey key, KvVersion version)
    {
        Compare(key, version.IsAbsent ? ComparisonKind.Absent : ComparisonKind.VersionIs);
        _comparisons[^1].Comparison.Version = UnsafeByteOperations.UnsafeWrap(version.Bytes);
        return this;
    }

    /// <summary>
    /// Only if the key has a value, and it is this one: bytes are compared, as the client's serializer writes them. A counter is its decimal text; of the several values that a merge may have left, the one that
    /// a get returns is compared.
    /// </summary>
    public KvTxn IfValue<T>(KvKey key, T value)
    {
        Compare(key, ComparisonKind.ValueIs);
        _comparisons[^1] = (_comparisons[^1].Comparison, serializer => serializer.Serialize(value));
        return this;
    }

    /// <summary>What is done if all comparisons hold, or if there are none. Called several times, it adds.</summary>
    public KvTxn Then(Action<KvTxnBranch> operations)
    {
        ArgumentNullException.ThrowIfNull(operations);
        operations(_then);
        return this;
    }

    /// <summary>What is done if some comparison does not hold. Called several times, it adds.</summary>
    public KvTxn Else(Action<KvTxnBranch> operations)
    {
        ArgumentNullException.ThrowIfNull(operations);
        operations(_else);
        return this;
    }

    /// <summary>The transaction as it is sent.</summary>
    /// <exception cref="ArgumentException">It is empty, or out of the bounds.</exception>
    internal Transaction ToMessage(IKvSerializer serializer)
    {
        if (Count is 0 or > KvLimits.MaxTransactionSteps)
        {
            throw new ArgumentException($"A transaction has 1 to {KvLimits.MaxTransactionSteps} comparisons and operations, both branches counted; this one has {Count}.");
        }

        var message = new Transaction();
        foreach ((Comparison comparison, Func<IKvSerializer, ReadOnlyMemory<byte>>? value) in _comparisons)
        {
            Comparison sent = value is null ? comparison : comparison.Clone();
            sent.Value = value is null ? sent.Value : UnsafeByteOperations.UnsafeWrap(value(serializer));
            message.Comparisons.Add(sent);
        }

        message.Then.AddRange(_then.ToMessages(serializer));
        message.Otherwise.AddRange(_else.ToMessages(serializer));
        int bytes = message.Comparisons.Sum(comparison => comparison.Key.Length + comparison.Version.Length + comparison.Value.Length)
            + message.Then.Concat(message.Otherwise).Sum(operation => operation.Key.Length + operation.Value.Length);
        return bytes <= KvLimits.MaxTransactionBytes
            ? message
            : throw new ArgumentException($"The keys, versions and values of a transaction have at most {KvLimits.MaxTransactionBytes} bytes together; these have {bytes}.");
    }

    /// <summary>Decides which shard the transaction is sent to.</summary>
    internal static KvKey FirstKeyOf(Transaction message) => KvKey.Received(
        (message.Comparisons.FirstOrDefault()?.Key ?? message.Then.FirstOrDefault()?.Key ?? message.Otherwise[0].Key).Memory);

    private KvTxn Compare(KvKey key, ComparisonKind kind)
    {
        _comparisons.Add((new Comparison { Kind = kind, Key = KvTxnBranch.Bytes(key) }, null));
        return this;
    }
}

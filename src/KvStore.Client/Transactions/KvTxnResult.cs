using KvStore.Client.Operations;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>Which list of operations a transaction carried out.</summary>
public enum KvTxnBranchKind
{
    /// <summary>None: the outcome is unknown.</summary>
    None = 0,

    /// <summary>All comparisons held.</summary>
    Then = 1,

    /// <summary>Some comparison did not hold.</summary>
    Else = 2,
}

/// <summary>What an operation of a transaction does.</summary>
public enum KvTxnOperationKind
{
    /// <summary>Reads a value.</summary>
    Get = 1,

    /// <summary>Sets a value.</summary>
    Put = 2,

    /// <summary>Removes a value.</summary>
    Delete = 3,
}

/// <summary>What became of a transaction.</summary>
public sealed record KvTxnResult
{
    /// <summary>Done, whichever branch it was; or Unknown: nobody can say whether it was done. Not done at all is a <see cref="KvException"/>.</summary>
    public KvOutcome Outcome { get; init; }

    /// <summary>Whether it was done: one of its branches was.</summary>
    public bool IsDone => Outcome == KvOutcome.Done;

    /// <summary>All comparisons held, and the branch Then was carried out.</summary>
    public bool Succeeded => Branch == KvTxnBranchKind.Then;

    /// <summary>Which branch was carried out.</summary>
    public KvTxnBranchKind Branch { get; init; }

    /// <summary>One for each operation of that branch, in its order; empty where the outcome is unknown.</summary>
    public IReadOnlyList<KvTxnOperationResult> Results { get; init; } = [];

    /// <summary>The version that the keys have which the branch has put.</summary>
    public KvVersion Version { get; init; }

    /// <summary>How many replicas held the transaction when it was acknowledged.</summary>
    public int Acknowledgements { get; init; }

    /// <summary>The regime the shard was in.</summary>
    public KvRegime Regime { get; init; }

    /// <summary>The keyspace epoch in which it was answered.</summary>
    public ulong Epoch { get; init; }

    /// <summary>Why the outcome is not known.</summary>
    public KvCode Code { get; init; }

    /// <summary>The same for people; null when done.</summary>
    public string? Reason { get; init; }

    /// <summary>The node that answered; 0: none did.</summary>
    public uint Node { get; init; }

    /// <summary>What the branch's first get of this key has read; null: the key had no value.</summary>
    /// <exception cref="ArgumentException">The branch that was carried out does not read the key.</exception>
    /// <exception cref="InvalidOperationException">The outcome is unknown: nothing is known to have been read.</exception>
    public KvEntry<T>? Get<T>(KvKey key)
    {
        if (!IsDone)
        {
            throw new InvalidOperationException($"The outcome of the transaction is unknown: {Reason}");
        }

        foreach (KvTxnOperationResult result in Results)
        {
            if (result.Kind == KvTxnOperationKind.Get && result.Key == key)
            {
                return Entry<T>(result);
            }
        }

        throw new ArgumentException($"The branch {Branch} of the transaction does not read '{key}'.", nameof(key));
    }

    /// <summary>What the operation at this position of the branch has read; null: the key had no value.</summary>
    /// <exception cref="ArgumentException">There is no get at this position.</exception>
    public KvEntry<T>? Get<T>(int position) => position >= 0 && position < Results.Count && Results[position].Kind == KvTxnOperationKind.Get
        ? Entry<T>(Results[position])
        : throw new ArgumentException($"There is no get at position {position} of the branch {Branch}.", nameof(position));

    private IKvSerializer? Serializer { get; init; }

    internal static KvTxnResult Of(Transaction asked, in WireResult answer, IKvSerializer serializer)
    {
        TransactionResult came = TransactionResult.Parser.ParseFrom(answer.Transaction.Span);
        IEnumerable<TransactionOperation> branch = came.Branch switch
        {
            TransactionBranch.Then => asked.Then,
            TransactionBranch.Otherwise => asked.Otherwise,
            _ => [],
        };
        return new KvTxnResult
        {
            Serializer = serializer,
            Outcome = (KvOutcome)answer.Outcome,
            Branch = (KvTxnBranchKind)came.Branch,
            Results = [.. branch.Zip(came.Results, Of)],
            Version = KvVersion.Received(answer.Version),
            Acknowledgements = (int)answer.Acknowledgements,
            Regime = (KvRegime)answer.Regime,
            Epoch = answer.Epoch,
            Code = (KvCode)answer.Code,
            Reason = answer.Outcome == Contracts.V1.Outcome.Done ? null : answer.Reason ?? Failure.Describe((KvCode)answer.Code),
            Node = answer.Node,
        };
    }

    private static KvTxnOperationResult Of(TransactionOperation operation, TransactionOperationResult came) => new()
    {
        Kind = (KvTxnOperationKind)operation.Kind,
        Key = KvKey.Received(operation.Key.Memory),
        Found = came.Found,
        Value = came.Value.Memory,
        Version = KvVersion.Received(came.Version.Memory),
        SiblingCount = (int)came.SiblingCount,
        ExpiresIn = KeyspaceClient.ExpiresIn(came.ExpiresInMs),
    };

    private KvEntry<T>? Entry<T>(KvTxnOperationResult result) => !result.Found ? null : new KvEntry<T>
    {
        Key = result.Key,
        Value = Serializer!.Deserialize<T>(result.Value),
        Version = result.Version,
        SiblingCount = Math.Max(1, result.SiblingCount),
        Regime = Regime,
        Epoch = Epoch,
        Acknowledgements = Acknowledgements,
        ExpiresIn = result.ExpiresIn,
        Node = Node,
    };
}

/// <summary>What one operation of a transaction came to.</summary>
public sealed record KvTxnOperationResult
{
    /// <summary>What it was.</summary>
    public required KvTxnOperationKind Kind { get; init; }

    /// <summary>Of which key.</summary>
    public required KvKey Key { get; init; }

    /// <summary>Gets: whether the key had a value.</summary>
    public bool Found { get; init; }

    /// <summary>Gets: the value in bytes; <see cref="KvTxnResult.Get{T}(KvKey)"/> reads it as a type.</summary>
    public ReadOnlyMemory<byte> Value { get; init; }

    /// <summary>Gets: the key's version, absent where there is no value. Puts: the version that the put made.</summary>
    public KvVersion Version { get; init; }

    /// <summary>Gets of adaptive keyspaces: how many values the key has, where a merge has left several; otherwise 0.</summary>
    public int SiblingCount { get; init; }

    /// <summary>Gets: how long the value has to live, by the clock of the node that answered; null: it does not expire.</summary>
    public TimeSpan? ExpiresIn { get; init; }
}

using CsCheck;
using Google.Protobuf;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Cluster.Tests.Contracts;

/// <summary>Random operations and results, and the generated messages that say the same.</summary>
internal static class WireSamples
{
    private static readonly Gen<ReadOnlyMemory<byte>> Bytes =
        Gen.Frequency((1, Gen.Const(Array.Empty<byte>())), (6, Gen.Byte.Array[0, 40]), (1, Gen.Byte.Array[120, 20_000])).Select(bytes => new ReadOnlyMemory<byte>(bytes));

    private static readonly Gen<ulong> Number = Gen.Frequency((1, Gen.Const(0UL)), (2, Gen.ULong[0, 300]), (2, Gen.ULong), (1, Gen.Const(ulong.MaxValue)));

    private static readonly Gen<long> Delta = Gen.Frequency((1, Gen.Const(0L)), (2, Gen.Long[-300, 300]), (2, Gen.Long), (1, Gen.Const(long.MinValue)), (1, Gen.Const(long.MaxValue)));

    private static readonly Gen<uint> Small = Gen.Frequency((1, Gen.Const(0U)), (2, Gen.UInt[0, 300]), (2, Gen.UInt), (1, Gen.Const(uint.MaxValue)));

    private static readonly Gen<string?> Text = Gen.Int[0, 3].Select(i => new[] { null, "", "no quorum: 1 of 3 replicas reachable", "Grüße, 鍵 🔑" }[i]);

    private static readonly Gen<WireSibling> Sibling = Gen.Select(Bytes, Number, Number, Number, (value, timestamp, writer, write) => new WireSibling(value, timestamp, writer, write));

    private static readonly Gen<WireScanItem> Item =
        Gen.Select(Bytes, Bytes, Bytes, Small, Number, (key, value, version, siblings, expiresIn) => new WireScanItem(key, value, version, siblings, expiresIn));

    /// <summary>Encoded: the codec passes it through.</summary>
    private static readonly Gen<ReadOnlyMemory<byte>> Transaction = Gen.Select(Gen.Int[0, 3], Bytes, Number, (parts, bytes, ttl) => new ReadOnlyMemory<byte>(parts == 0 ? [] : new Transaction
    {
        Comparisons = { new Comparison { Kind = ComparisonKind.ValueIs, Key = ByteString.CopyFrom(bytes.Span), Value = ByteString.CopyFrom(bytes.Span) } },
        Then = { Enumerable.Range(0, parts).Select(_ => new TransactionOperation { Kind = OperationKind.Put, Key = ByteString.CopyFrom(bytes.Span), TtlMs = ttl }) },
    }.ToByteArray()));

    private static readonly Gen<ReadOnlyMemory<byte>> TransactionAnswer = Gen.Select(Gen.Int[0, 2], Bytes, Number, (branch, bytes, expiresIn) => new ReadOnlyMemory<byte>(branch == 0 ? [] : new TransactionResult
    {
        Branch = (TransactionBranch)branch,
        Results = { new TransactionOperationResult { Kind = OperationKind.Get, Found = true, Value = ByteString.CopyFrom(bytes.Span), Version = ByteString.CopyFrom(bytes.Span), ExpiresInMs = expiresIn } },
    }.ToByteArray()));

    private static readonly Gen<WireMissingReplica> Missing = Gen.Select(Small, Number, (node, forMs) => new WireMissingReplica(node, forMs));

    public static Gen<WireOperation> Operation { get; } =
        from numbers in Number.Array[6]
        from kind in Gen.Int[0, 5]
        from delta in Delta
        from repeated in Gen.Bool
        from condition in Gen.Int[0, 3]
        from level in Gen.Int[0, 5]
        from decline in Gen.Bool
        from atReplica in Gen.Bool
        from conflicts in Gen.Bool
        from small in Small.Array[5]
        from bytes in Bytes.Array[5]
        from transaction in Transaction
        select new WireOperation
        {
            CallId = numbers[0],
            Kind = (OperationKind)kind,
            KeyspaceId = small[0],
            Epoch = numbers[1],
            Key = bytes[0],
            Value = bytes[1],
            Condition = (WriteCondition)condition,
            Version = bytes[2],
            Session = numbers[2],
            Sequence = numbers[2] == 0 ? 0 : numbers[3],
            AcknowledgedFloor = numbers[2] == 0 ? 0 : numbers[4],
            Level = (ReadLevel)level,
            TimeoutMs = small[1],
            DeclineForwarding = decline,
            Shard = small[2],
            After = bytes[3],
            Limit = small[3],
            TtlMs = numbers[5],
            Delta = delta,
            MayHaveHappened = repeated,
            ServeAtReplica = atReplica,
            SessionPosition = bytes[4],
            MaxStalenessMs = small[4],
            OnlyConflicts = conflicts,
            Transaction = transaction,
        };

    public static Gen<WireResult> Result { get; } =
        from numbers in Number.Array[3]
        from counter in Delta
        from enums in Gen.Select(Gen.Int[0, 3], Gen.Int[0, 35], Gen.Int[0, 3])
        from flags in Gen.Bool.Array[4]
        from small in Small.Array[5]
        from bytes in Bytes.Array[3]
        from siblings in Sibling.Array[0, 3]
        from items in Item.Array[0, 3]
        from missing in Missing.Array[0, 3]
        from reason in Text
        from transaction in TransactionAnswer
        select new WireResult
        {
            CallId = numbers[0],
            Outcome = (Outcome)enums.Item1,
            Code = (Code)enums.Item2,
            Found = flags[0],
            Value = bytes[0],
            Version = bytes[1],
            Siblings = siblings.Length == 0 ? null : siblings,
            Acknowledgements = small[0],
            Degraded = flags[1],
            Regime = (Regime)enums.Item3,
            Epoch = numbers[1],
            StalenessMs = small[1],
            LeaderHint = small[2],
            Reason = reason,
            Retryable = flags[2],
            Items = items.Length == 0 ? null : items,
            More = flags[3],
            Node = small[3],
            Counter = counter,
            ExpiresInMs = numbers[2],
            SessionPosition = bytes[2],
            HiddenLosers = small[4],
            Missing = missing.Length == 0 ? null : missing,
            Transaction = transaction,
        };

    public static Operation Generated(WireOperation from) => new()
    {
        CallId = from.CallId,
        Kind = from.Kind,
        KeyspaceId = from.KeyspaceId,
        Epoch = from.Epoch,
        Key = ByteString.CopyFrom(from.Key.Span),
        Value = ByteString.CopyFrom(from.Value.Span),
        Condition = from.Condition,
        Version = ByteString.CopyFrom(from.Version.Span),
        Request = from.Session == 0 ? null : new RequestId { Session = from.Session, Sequence = from.Sequence, AcknowledgedFloor = from.AcknowledgedFloor },
        Level = from.Level,
        TimeoutMs = from.TimeoutMs,
        DeclineForwarding = from.DeclineForwarding,
        Shard = from.Shard,
        After = ByteString.CopyFrom(from.After.Span),
        Limit = from.Limit,
        TtlMs = from.TtlMs,
        Delta = from.Delta,
        MayHaveHappened = from.MayHaveHappened,
        ServeAtReplica = from.ServeAtReplica,
        Session = ByteString.CopyFrom(from.SessionPosition.Span),
        MaxStalenessMs = from.MaxStalenessMs,
        OnlyConflicts = from.OnlyConflicts,
        Transaction = from.Transaction.IsEmpty ? null : KvStore.Contracts.V1.Transaction.Parser.ParseFrom(from.Transaction.Span),
    };

    public static Result Generated(WireResult from)
    {
        Result result = new()
        {
            CallId = from.CallId,
            Outcome = from.Outcome,
            Code = from.Code,
            Found = from.Found,
            Value = ByteString.CopyFrom(from.Value.Span),
            Version = ByteString.CopyFrom(from.Version.Span),
            Acknowledgements = from.Acknowledgements,
            Degraded = from.Degraded,
            Regime = from.Regime,
            Epoch = from.Epoch,
            StalenessMs = from.StalenessMs,
            LeaderHint = from.LeaderHint,
            Reason = from.Reason ?? "",
            Retryable = from.Retryable,
            More = from.More,
            Node = from.Node,
            Counter = from.Counter,
            ExpiresInMs = from.ExpiresInMs,
            Session = ByteString.CopyFrom(from.SessionPosition.Span),
            HiddenLosers = from.HiddenLosers,
            Transaction = from.Transaction.IsEmpty ? null : TransactionResult.Parser.ParseFrom(from.Transaction.Span),
        };
        result.Siblings.AddRange((from.Siblings ?? []).Select(s => new Sibling { Value = ByteString.CopyFrom(s.Value.Span), TimestampMs = s.TimestampMs, Writer = s.Writer, Write = s.Write }));
        result.Items.AddRange((from.Items ?? []).Select(i => new ScanItem
        {
            Key = ByteString.CopyFrom(i.Key.Span),
            Value = ByteString.CopyFrom(i.Value.Span),
            Version = ByteString.CopyFrom(i.Version.Span),
            SiblingCount = i.SiblingCount,
            ExpiresInMs = i.ExpiresInMs,
        }));
        result.Missing.AddRange((from.Missing ?? []).Select(m => new MissingReplica { Node = m.Node, ForMs = m.ForMs }));
        return result;
    }
}

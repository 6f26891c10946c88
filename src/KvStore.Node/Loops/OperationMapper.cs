using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Node.Catalog;

namespace KvStore.Node.Loops;

/// <summary>Checks an operation from the wire against the limits, and finds its shard. What is refused here has touched nothing.</summary>
internal static class OperationMapper
{
    private static readonly ReadOnlyMemory<byte> NewSession = SessionPosition.Empty.ToBytes();

    public static bool TryRoute(WireOperation wire, ShardRouter router, long nowMs, out RoutedOperation routed, out RefusalCode code, out string reason)
    {
        routed = default;
        if (!router.TryFind(wire.KeyspaceId, out KeyspaceRoute keyspace))
        {
            code = router.HasReadCatalog ? RefusalCode.UnknownKeyspace : RefusalCode.Recovering;
            reason = router.HasReadCatalog ? $"There is no keyspace with id {wire.KeyspaceId}; create it with 'kv keyspace create', or refresh the topology." : KeyspaceLookup.NotReadYet;
            return false;
        }

        bool isTransaction = wire.Kind == Contracts.V1.OperationKind.Transaction;
        if (isTransaction && TransactionMapper.Prepare(ref wire, keyspace.ShardCount, out code) is { } fault)
        {
            reason = fault;
            return false;
        }

        if (Check(wire, keyspace, out code) is { } complaint)
        {
            reason = complaint;
            return false;
        }

        bool scan = wire.Kind == Contracts.V1.OperationKind.Scan;
        ReadLevel level = wire.Level == Contracts.V1.ReadLevel.Unspecified && wire.Kind is Contracts.V1.OperationKind.Get or Contracts.V1.OperationKind.Scan
            ? keyspace.DefaultReadLevel
            : (ReadLevel)wire.Level;
        int shard = scan ? (int)wire.Shard : KeyRouting.ShardOf(wire.Key.Span, keyspace.ShardCount);
        uint timeoutMs = wire.TimeoutMs == 0 ? KvLimits.DefaultTimeoutMs : Math.Min(wire.TimeoutMs, KvLimits.MaxTimeoutMs);
        routed = new RoutedOperation
        {
            Shard = new ShardId(wire.KeyspaceId, shard),
            CallId = wire.CallId,
            DeclineForwarding = wire.DeclineForwarding,
            Transaction = wire.Transaction,
            Operation = new ClientOperation
            {
                Kind = (OperationKind)wire.Kind,
                Level = level,
                Condition = (WriteCondition)wire.Condition,
                Key = wire.Key,
                Value = wire.Value,
                Version = wire.Version,
                Request = wire.Session == 0 ? RequestId.None : new RequestId(wire.Session, wire.Sequence, wire.AcknowledgedFloor),
                Epoch = new Epoch(wire.Epoch),
                AtReplica = wire.ServeAtReplica,
                RequireStrong = wire.RequireStrong,
                TtlMs = wire.TtlMs,
                Delta = wire.Delta,
                MayHaveHappened = wire.MayHaveHappened,
                Session = wire.SessionPosition.IsEmpty && level == ReadLevel.Session ? NewSession : wire.SessionPosition,
                MaxStalenessMs = wire.MaxStalenessMs,
                OnlyConflicts = wire.OnlyConflicts,
                After = wire.After,
                Limit = wire.Limit == 0 ? KvLimits.DefaultScanRecords : (int)Math.Min(wire.Limit, KvLimits.MaxScanRecords),
                DeadlineMs = nowMs + timeoutMs,
            },
        };
        reason = "";
        return true;
    }

    /// <summary>Back to the wire, for the node it is forwarded to, with what is left of its time.</summary>
    /// <param name="routed">The operation.</param>
    /// <param name="isLast">True: that node serves it or refuses. False: it may pass it on, once.</param>
    /// <param name="nowMs">The loop's time.</param>
    public static WireOperation ToWire(in RoutedOperation routed, bool isLast, long nowMs)
    {
        ref readonly ClientOperation operation = ref routed.Operation;
        return new WireOperation
        {
            Kind = (Contracts.V1.OperationKind)operation.Kind,
            KeyspaceId = routed.Shard.Keyspace,
            Epoch = operation.Epoch.Value,
            Key = operation.Key,
            Value = operation.Kind == OperationKind.Transaction ? default : operation.Value,
            Transaction = routed.Transaction,
            Condition = (Contracts.V1.WriteCondition)operation.Condition,
            Version = operation.Version,
            Session = operation.Request.Session,
            Sequence = operation.Request.Sequence,
            AcknowledgedFloor = operation.Request.AcknowledgedFloor,
            Level = (Contracts.V1.ReadLevel)operation.Level,
            TimeoutMs = (uint)Math.Max(1, operation.DeadlineMs - nowMs),
            DeclineForwarding = isLast,
            Shard = (uint)routed.Shard.Number,
            ServeAtReplica = operation.AtReplica,
            RequireStrong = operation.RequireStrong,
            TtlMs = operation.TtlMs,
            Delta = operation.Delta,
            MayHaveHappened = operation.MayHaveHappened,
            SessionPosition = operation.Session,
            MaxStalenessMs = operation.MaxStalenessMs,
            OnlyConflicts = operation.OnlyConflicts,
            After = operation.After,
            Limit = (uint)operation.Limit,
        };
    }

    /// <summary>What is wrong with the operation, or null.</summary>
    private static string? Check(in WireOperation wire, in KeyspaceRoute keyspace, out RefusalCode code)
    {
        code = RefusalCode.InvalidArgument;
        bool scan = wire.Kind == Contracts.V1.OperationKind.Scan;
        bool isTransaction = wire.Kind == Contracts.V1.OperationKind.Transaction;
        if (!isTransaction && wire.Kind is < Contracts.V1.OperationKind.Get or > Contracts.V1.OperationKind.Increment)
        {
            return $"The kind of operation {(int)wire.Kind} is not known to this node.";
        }

        if (scan && wire.Shard >= (uint)keyspace.ShardCount)
        {
            return $"The keyspace has shards 0 to {keyspace.ShardCount - 1}; there is no shard {wire.Shard}.";
        }

        if (!scan && wire.Key.Length == 0)
        {
            return $"The key is empty; a key has 1 to {KvLimits.MaxKeyBytes} bytes.";
        }

        if (wire.Level is < Contracts.V1.ReadLevel.Unspecified or > Contracts.V1.ReadLevel.Bounded)
        {
            return $"The read level {(int)wire.Level} is not known to this node.";
        }

        if (wire.Condition is < Contracts.V1.WriteCondition.Unspecified or > Contracts.V1.WriteCondition.InContext)
        {
            return $"The write condition {(int)wire.Condition} is not known to this node.";
        }

        if (wire.TtlMs is > KvLimits.MaxTtlMs and not KvLimits.NoExpiry)
        {
            return $"The time to live of {wire.TtlMs} ms is out of bounds: give 1 to {KvLimits.MaxTtlMs} ms (10 years), or none.";
        }

        if (wire.TtlMs != 0 && wire.Kind is not (Contracts.V1.OperationKind.Put or Contracts.V1.OperationKind.Increment))
        {
            return "A time to live is for puts and increments; leave it out.";
        }

        if (wire.Level == Contracts.V1.ReadLevel.Bounded && wire.MaxStalenessMs is 0 or > KvLimits.MaxStalenessMs)
        {
            return $"A bounded read says how old its answer may be: 1 to {KvLimits.MaxStalenessMs} ms.";
        }

        if (wire.Session != 0 && (wire.Sequence == 0 || wire.AcknowledgedFloor >= wire.Sequence))
        {
            return "A request id counts its sequence up from 1, above its acknowledged floor.";
        }

        code = RefusalCode.TooLarge;
        if (wire.Key.Length > KvLimits.MaxKeyBytes || wire.After.Length > KvLimits.MaxKeyBytes)
        {
            return $"The key has {Math.Max(wire.Key.Length, wire.After.Length)} bytes; at most {KvLimits.MaxKeyBytes} are allowed.";
        }

        if (!isTransaction && wire.Value.Length > KvLimits.MaxValueBytes)
        {
            return $"The value has {wire.Value.Length} bytes; at most {KvLimits.MaxValueBytes} are allowed. Split it, or keep it elsewhere and store a reference.";
        }

        if (wire.Version.Length > KvLimits.MaxVersionBytes)
        {
            return $"The version has {wire.Version.Length} bytes; pass one back as a read returned it.";
        }

        if (wire.SessionPosition.Length > KvLimits.MaxSessionPositionBytes)
        {
            return $"The session's position has {wire.SessionPosition.Length} bytes; at most {KvLimits.MaxSessionPositionBytes} are allowed. Begin a new session.";
        }

        code = RefusalCode.None;
        return null;
    }
}

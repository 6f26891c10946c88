using KvStore.Contracts.V1;

namespace KvStore.Contracts.Pipeline;

/// <summary>The body of kvstore.v1.Operation.</summary>
internal static class OperationCodec
{
    private const uint CallIdTag = 8;
    private const uint KindTag = 16;
    private const uint KeyspaceIdTag = 24;
    private const uint EpochTag = 32;
    private const uint KeyTag = 42;
    private const uint ValueTag = 50;
    private const uint ConditionTag = 56;
    private const uint VersionTag = 66;
    private const uint RequestTag = 74;
    private const uint LevelTag = 80;
    private const uint TimeoutMsTag = 88;
    private const uint DeclineForwardingTag = 96;
    private const uint ShardTag = 104;
    private const uint AfterTag = 114;
    private const uint LimitTag = 120;
    private const uint ServeAtReplicaTag = 128;
    private const uint TtlMsTag = 136;
    private const uint DeltaTag = 144;
    private const uint SessionPositionTag = 154;
    private const uint MaxStalenessMsTag = 160;
    private const uint RequireStrongTag = 168;
    private const uint OnlyConflictsTag = 184;
    private const uint MayHaveHappenedTag = 240;
    private const uint TransactionTag = 322;

    private const uint SessionTag = 9;
    private const uint SequenceTag = 16;
    private const uint AcknowledgedFloorTag = 24;

    public static int Size(in WireOperation operation) =>
        WireWriter.VarintFieldSize(1, operation.CallId)
        + WireWriter.VarintFieldSize(1, (ulong)operation.Kind)
        + WireWriter.VarintFieldSize(1, operation.KeyspaceId)
        + WireWriter.VarintFieldSize(1, operation.Epoch)
        + WireWriter.BytesFieldSize(1, operation.Key.Length)
        + WireWriter.BytesFieldSize(1, operation.Value.Length)
        + WireWriter.VarintFieldSize(1, (ulong)operation.Condition)
        + WireWriter.BytesFieldSize(1, operation.Version.Length)
        + (operation.Session == 0 ? 0 : WireWriter.ElementSize(1, RequestSize(operation)))
        + WireWriter.VarintFieldSize(1, (ulong)operation.Level)
        + WireWriter.VarintFieldSize(1, operation.TimeoutMs)
        + (operation.DeclineForwarding ? 2 : 0)
        + WireWriter.VarintFieldSize(1, operation.Shard)
        + WireWriter.BytesFieldSize(1, operation.After.Length)
        + WireWriter.VarintFieldSize(1, operation.Limit)
        + (operation.ServeAtReplica ? 3 : 0)
        + WireWriter.VarintFieldSize(2, operation.TtlMs)
        + WireWriter.VarintFieldSize(2, WireWriter.ZigZag(operation.Delta))
        + WireWriter.BytesFieldSize(2, operation.SessionPosition.Length)
        + WireWriter.VarintFieldSize(2, operation.MaxStalenessMs)
        + (operation.RequireStrong ? 3 : 0)
        + (operation.OnlyConflicts ? 3 : 0)
        + (operation.MayHaveHappened ? 3 : 0)
        + WireWriter.BytesFieldSize(2, operation.Transaction.Length);

    public static void Write(ref WireWriter writer, in WireOperation operation)
    {
        writer.Varint(CallIdTag, operation.CallId);
        writer.Varint(KindTag, (ulong)operation.Kind);
        writer.Varint(KeyspaceIdTag, operation.KeyspaceId);
        writer.Varint(EpochTag, operation.Epoch);
        writer.Bytes(KeyTag, operation.Key.Span);
        writer.Bytes(ValueTag, operation.Value.Span);
        writer.Varint(ConditionTag, (ulong)operation.Condition);
        writer.Bytes(VersionTag, operation.Version.Span);
        if (operation.Session != 0)
        {
            writer.ElementHead(RequestTag, RequestSize(operation));
            writer.Fixed64(SessionTag, operation.Session);
            writer.Varint(SequenceTag, operation.Sequence);
            writer.Varint(AcknowledgedFloorTag, operation.AcknowledgedFloor);
        }

        writer.Varint(LevelTag, (ulong)operation.Level);
        writer.Varint(TimeoutMsTag, operation.TimeoutMs);
        writer.Bool(DeclineForwardingTag, operation.DeclineForwarding);
        writer.Varint(ShardTag, operation.Shard);
        writer.Bytes(AfterTag, operation.After.Span);
        writer.Varint(LimitTag, operation.Limit);
        writer.Bool(ServeAtReplicaTag, operation.ServeAtReplica);
        writer.Varint(TtlMsTag, operation.TtlMs);
        writer.Varint(DeltaTag, WireWriter.ZigZag(operation.Delta));
        writer.Bytes(SessionPositionTag, operation.SessionPosition.Span);
        writer.Varint(MaxStalenessMsTag, operation.MaxStalenessMs);
        writer.Bool(RequireStrongTag, operation.RequireStrong);
        writer.Bool(OnlyConflictsTag, operation.OnlyConflicts);
        writer.Bool(MayHaveHappenedTag, operation.MayHaveHappened);
        writer.Bytes(TransactionTag, operation.Transaction.Span);
    }

    public static bool TryRead(ReadOnlyMemory<byte> body, out WireOperation operation)
    {
        operation = default;
        WireReader reader = new(body);
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case CallIdTag: operation.CallId = reader.Varint(); break;
                case KindTag: operation.Kind = (OperationKind)reader.Varint(); break;
                case KeyspaceIdTag: operation.KeyspaceId = reader.UInt32(); break;
                case EpochTag: operation.Epoch = reader.Varint(); break;
                case KeyTag: operation.Key = reader.Bytes(); break;
                case ValueTag: operation.Value = reader.Bytes(); break;
                case ConditionTag: operation.Condition = (WriteCondition)reader.Varint(); break;
                case VersionTag: operation.Version = reader.Bytes(); break;
                case RequestTag: ReadRequest(ref reader, ref operation); break;
                case LevelTag: operation.Level = (ReadLevel)reader.Varint(); break;
                case TimeoutMsTag: operation.TimeoutMs = reader.UInt32(); break;
                case DeclineForwardingTag: operation.DeclineForwarding = reader.Bool(); break;
                case ShardTag: operation.Shard = reader.UInt32(); break;
                case AfterTag: operation.After = reader.Bytes(); break;
                case LimitTag: operation.Limit = reader.UInt32(); break;
                case ServeAtReplicaTag: operation.ServeAtReplica = reader.Bool(); break;
                case RequireStrongTag: operation.RequireStrong = reader.Bool(); break;
                case TtlMsTag: operation.TtlMs = reader.Varint(); break;
                case DeltaTag: operation.Delta = reader.ZigZag(); break;
                case SessionPositionTag: operation.SessionPosition = reader.Bytes(); break;
                case MaxStalenessMsTag: operation.MaxStalenessMs = reader.UInt32(); break;
                case OnlyConflictsTag: operation.OnlyConflicts = reader.Bool(); break;
                case MayHaveHappenedTag: operation.MayHaveHappened = reader.Bool(); break;
                case TransactionTag: operation.Transaction = reader.Bytes(); break;
                default: reader.Skip(tag); break;
            }
        }

        return !reader.Malformed;
    }

    private static int RequestSize(in WireOperation operation) =>
        (operation.Session == 0 ? 0 : 1 + sizeof(ulong))
        + WireWriter.VarintFieldSize(1, operation.Sequence)
        + WireWriter.VarintFieldSize(1, operation.AcknowledgedFloor);

    private static void ReadRequest(ref WireReader reader, ref WireOperation operation)
    {
        WireReader request = new(reader.Bytes());
        while (request.NextTag(out uint tag))
        {
            switch (tag)
            {
                case SessionTag: operation.Session = request.Fixed64(); break;
                case SequenceTag: operation.Sequence = request.Varint(); break;
                case AcknowledgedFloorTag: operation.AcknowledgedFloor = request.Varint(); break;
                default: request.Skip(tag); break;
            }
        }

        if (request.Malformed)
        {
            reader.Fail();
        }
    }
}

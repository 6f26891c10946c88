using System.Text;
using KvStore.Contracts.V1;

namespace KvStore.Contracts.Pipeline;

/// <summary>The body of kvstore.v1.Result.</summary>
internal static class ResultCodec
{
    private const uint CallIdTag = 8;
    private const uint OutcomeTag = 16;
    private const uint CodeTag = 24;
    private const uint FoundTag = 32;
    private const uint ValueTag = 42;
    private const uint VersionTag = 50;
    private const uint SiblingsTag = 58;
    private const uint AcknowledgementsTag = 64;
    private const uint DegradedTag = 72;
    private const uint RegimeTag = 80;
    private const uint EpochTag = 88;
    private const uint StalenessMsTag = 96;
    private const uint LeaderHintTag = 104;
    private const uint ReasonTag = 114;
    private const uint RetryableTag = 120;
    private const uint ItemsTag = 130;
    private const uint MoreTag = 136;
    private const uint NodeTag = 144;
    private const uint CounterTag = 152;
    private const uint ExpiresInMsTag = 160;
    private const uint SessionPositionTag = 170;
    private const uint HiddenLosersTag = 184;
    private const uint MissingTag = 194;
    private const uint TransactionTag = 322;

    public static int Size(in WireResult result)
    {
        int size = WireWriter.VarintFieldSize(1, result.CallId)
            + WireWriter.VarintFieldSize(1, (ulong)result.Outcome)
            + WireWriter.VarintFieldSize(1, (ulong)result.Code)
            + (result.Found ? 2 : 0)
            + WireWriter.BytesFieldSize(1, result.Value.Length)
            + WireWriter.BytesFieldSize(1, result.Version.Length)
            + WireWriter.VarintFieldSize(1, result.Acknowledgements)
            + (result.Degraded ? 2 : 0)
            + WireWriter.VarintFieldSize(1, (ulong)result.Regime)
            + WireWriter.VarintFieldSize(1, result.Epoch)
            + WireWriter.VarintFieldSize(1, result.StalenessMs)
            + WireWriter.VarintFieldSize(1, result.LeaderHint)
            + WireWriter.BytesFieldSize(1, ReasonBytes(result))
            + (result.Retryable ? 2 : 0)
            + (result.More ? 3 : 0)
            + WireWriter.VarintFieldSize(2, result.Node)
            + WireWriter.VarintFieldSize(2, WireWriter.ZigZag(result.Counter))
            + WireWriter.VarintFieldSize(2, result.ExpiresInMs)
            + WireWriter.BytesFieldSize(2, result.SessionPosition.Length)
            + WireWriter.VarintFieldSize(2, result.HiddenLosers)
            + WireWriter.BytesFieldSize(2, result.Transaction.Length);
        for (int i = 0; i < (result.Siblings?.Count ?? 0); i++)
        {
            size += WireWriter.ElementSize(1, ResultPartCodec.Size(result.Siblings![i]));
        }

        for (int i = 0; i < (result.Items?.Count ?? 0); i++)
        {
            size += WireWriter.ElementSize(2, ResultPartCodec.Size(result.Items![i]));
        }

        for (int i = 0; i < (result.Missing?.Count ?? 0); i++)
        {
            size += WireWriter.ElementSize(2, ResultPartCodec.Size(result.Missing![i]));
        }

        return size;
    }

    public static void Write(ref WireWriter writer, in WireResult result)
    {
        writer.Varint(CallIdTag, result.CallId);
        writer.Varint(OutcomeTag, (ulong)result.Outcome);
        writer.Varint(CodeTag, (ulong)result.Code);
        writer.Bool(FoundTag, result.Found);
        writer.Bytes(ValueTag, result.Value.Span);
        writer.Bytes(VersionTag, result.Version.Span);
        for (int i = 0; i < (result.Siblings?.Count ?? 0); i++)
        {
            WireSibling sibling = result.Siblings![i];
            writer.ElementHead(SiblingsTag, ResultPartCodec.Size(sibling));
            ResultPartCodec.Write(ref writer, sibling);
        }

        writer.Varint(AcknowledgementsTag, result.Acknowledgements);
        writer.Bool(DegradedTag, result.Degraded);
        writer.Varint(RegimeTag, (ulong)result.Regime);
        writer.Varint(EpochTag, result.Epoch);
        writer.Varint(StalenessMsTag, result.StalenessMs);
        writer.Varint(LeaderHintTag, result.LeaderHint);
        writer.Text(ReasonTag, result.Reason, ReasonBytes(result));
        writer.Bool(RetryableTag, result.Retryable);
        for (int i = 0; i < (result.Items?.Count ?? 0); i++)
        {
            WireScanItem item = result.Items![i];
            writer.ElementHead(ItemsTag, ResultPartCodec.Size(item));
            ResultPartCodec.Write(ref writer, item);
        }

        writer.Bool(MoreTag, result.More);
        writer.Varint(NodeTag, result.Node);
        writer.Varint(CounterTag, WireWriter.ZigZag(result.Counter));
        writer.Varint(ExpiresInMsTag, result.ExpiresInMs);
        writer.Bytes(SessionPositionTag, result.SessionPosition.Span);
        writer.Varint(HiddenLosersTag, result.HiddenLosers);
        for (int i = 0; i < (result.Missing?.Count ?? 0); i++)
        {
            writer.ElementHead(MissingTag, ResultPartCodec.Size(result.Missing![i]));
            ResultPartCodec.Write(ref writer, result.Missing[i]);
        }

        writer.Bytes(TransactionTag, result.Transaction.Span);
    }

    public static bool TryRead(ReadOnlyMemory<byte> body, out WireResult result)
    {
        result = default;
        List<WireSibling>? siblings = null;
        List<WireScanItem>? items = null;
        List<WireMissingReplica>? missing = null;
        WireReader reader = new(body);
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case CallIdTag: result.CallId = reader.Varint(); break;
                case OutcomeTag: result.Outcome = (Outcome)reader.Varint(); break;
                case CodeTag: result.Code = (Code)reader.Varint(); break;
                case FoundTag: result.Found = reader.Bool(); break;
                case ValueTag: result.Value = reader.Bytes(); break;
                case VersionTag: result.Version = reader.Bytes(); break;
                case SiblingsTag: (siblings ??= []).Add(ResultPartCodec.ReadSibling(ref reader)); break;
                case AcknowledgementsTag: result.Acknowledgements = reader.UInt32(); break;
                case DegradedTag: result.Degraded = reader.Bool(); break;
                case RegimeTag: result.Regime = (Regime)reader.Varint(); break;
                case EpochTag: result.Epoch = reader.Varint(); break;
                case StalenessMsTag: result.StalenessMs = reader.UInt32(); break;
                case LeaderHintTag: result.LeaderHint = reader.UInt32(); break;
                case ReasonTag: result.Reason = reader.Text(); break;
                case RetryableTag: result.Retryable = reader.Bool(); break;
                case ItemsTag: (items ??= []).Add(ResultPartCodec.ReadItem(ref reader)); break;
                case MoreTag: result.More = reader.Bool(); break;
                case NodeTag: result.Node = reader.UInt32(); break;
                case CounterTag: result.Counter = reader.ZigZag(); break;
                case ExpiresInMsTag: result.ExpiresInMs = reader.Varint(); break;
                case SessionPositionTag: result.SessionPosition = reader.Bytes(); break;
                case HiddenLosersTag: result.HiddenLosers = reader.UInt32(); break;
                case TransactionTag: result.Transaction = reader.Bytes(); break;
                case MissingTag: (missing ??= []).Add(ResultPartCodec.ReadMissing(ref reader)); break;
                default: reader.Skip(tag); break;
            }
        }

        result.Siblings = siblings;
        result.Items = items;
        result.Missing = missing;
        return !reader.Malformed;
    }

    private static int ReasonBytes(in WireResult result) => string.IsNullOrEmpty(result.Reason) ? 0 : Encoding.UTF8.GetByteCount(result.Reason);
}

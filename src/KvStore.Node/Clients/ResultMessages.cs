using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Node.Clients;

/// <summary>Results as generated messages, and refusals as gRPC statuses: for the unary calls.</summary>
internal static class ResultMessages
{
    /// <summary>The binary trailer that carries a <see cref="Refusal"/>.</summary>
    public const string RefusalTrailer = "kvstore-refusal-bin";

    public static Result ToMessage(in WireResult wire)
    {
        var message = new Result
        {
            CallId = wire.CallId,
            Outcome = wire.Outcome,
            Code = wire.Code,
            Found = wire.Found,
            Value = ByteString.CopyFrom(wire.Value.Span),
            Version = ByteString.CopyFrom(wire.Version.Span),
            Acknowledgements = wire.Acknowledgements,
            Degraded = wire.Degraded,
            Regime = wire.Regime,
            Epoch = wire.Epoch,
            StalenessMs = wire.StalenessMs,
            LeaderHint = wire.LeaderHint,
            Reason = wire.Reason ?? "",
            Retryable = wire.Retryable,
            More = wire.More,
            Node = wire.Node,
            Counter = wire.Counter,
            ExpiresInMs = wire.ExpiresInMs,
            Session = ByteString.CopyFrom(wire.SessionPosition.Span),
            HiddenLosers = wire.HiddenLosers,
            Transaction = wire.Transaction.IsEmpty ? null : TransactionResult.Parser.ParseFrom(wire.Transaction.Span),
        };
        message.Missing.AddRange((wire.Missing ?? []).Select(missing => new MissingReplica { Node = missing.Node, ForMs = missing.ForMs }));
        foreach (WireSibling sibling in wire.Siblings ?? [])
        {
            message.Siblings.Add(new Sibling { Value = ByteString.CopyFrom(sibling.Value.Span), TimestampMs = sibling.TimestampMs, Writer = sibling.Writer, Write = sibling.Write });
        }

        foreach (WireScanItem item in wire.Items ?? [])
        {
            message.Items.Add(new ScanItem
            {
                Key = ByteString.CopyFrom(item.Key.Span),
                Value = ByteString.CopyFrom(item.Value.Span),
                Version = ByteString.CopyFrom(item.Version.Span),
                SiblingCount = item.SiblingCount,
                ExpiresInMs = item.ExpiresInMs,
            });
        }

        return message;
    }

    /// <summary>The result itself, where it is one; a status where it is a refusal.</summary>
    /// <exception cref="RpcException">The operation was refused, or its outcome is unknown.</exception>
    public static Result ThrowIfRefused(Result result)
    {
        return result.Outcome == Outcome.Done || result.Code == Code.ConditionFailed ? result : throw RefusalOf(result);
    }

    /// <summary>The status for an answer that is none.</summary>
    public static RpcException RefusalOf(Result result)
    {
        var refusal = new Refusal
        {
            Outcome = result.Outcome,
            Code = result.Code,
            Reason = result.Reason,
            Retryable = result.Retryable,
            LeaderHint = result.LeaderHint,
            Epoch = result.Epoch,
            Regime = result.Regime,
        };
        refusal.Missing.AddRange(result.Missing);
        string outcome = result.Outcome == Outcome.Unknown ? " The outcome is unknown: it may have happened. Send it again only with the same request id." : "";
        return new RpcException(new Status(StatusOf(result.Code), result.Reason + outcome), new Metadata { { RefusalTrailer, refusal.ToByteArray() } });
    }

    /// <summary>The table at the head of kv.proto.</summary>
    public static StatusCode StatusOf(Code code) => code switch
    {
        Code.NoLeader or Code.NoQuorum or Code.Switching or Code.LeadershipLost or Code.ShuttingDown or Code.Recovering or Code.StorageFailed or Code.SessionBehind or Code.TooStale => StatusCode.Unavailable,
        Code.StaleEpoch or Code.ChangePending => StatusCode.Aborted,
        Code.NotLeader or Code.WrongNode or Code.LevelNotOffered or Code.RequestExpired or Code.ClockSkew or Code.NotCaughtUp or Code.ReplicaRemoved
            or Code.ProvisionalRefused or Code.SessionLost => StatusCode.FailedPrecondition,
        Code.InvalidArgument or Code.RequestReused or Code.WrongType => StatusCode.InvalidArgument,
        Code.TooLarge or Code.Overloaded or Code.DiskLow or Code.TooManySiblings or Code.OverlayFull or Code.MemoryFull or Code.WatchBehind => StatusCode.ResourceExhausted,
        Code.UnknownKeyspace => StatusCode.NotFound,
        Code.DeadlineExceeded => StatusCode.DeadlineExceeded,
        _ => StatusCode.Internal,
    };
}

using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>Turns a replica's completion into what goes on the wire. The numbers of the enums are the same on both sides; a test holds them together.</summary>
internal sealed class ResultMapper(NodeId self)
{
    private readonly byte[] _version = new byte[KvStateMachine.OrderedVersionLength];

    /// <summary>The result's version may point into a scratch that the next call overwrites: encode it at once.</summary>
    /// <param name="completion">What the replica says.</param>
    /// <param name="wallMs">Now.</param>
    /// <param name="result">The same for the wire.</param>
    public void Map(in Completion completion, ulong wallMs, out WireResult result)
    {
        result = new WireResult
        {
            Outcome = (Contracts.V1.Outcome)completion.Outcome,
            Code = (Code)completion.Code,
            Found = completion.Found,
            Value = completion.Value,
            Version = VersionOf(completion.OrderedVersion, completion.Version),
            Siblings = completion.Siblings is { } siblings ? [.. siblings.Select(sibling => new WireSibling(sibling.Value, sibling.TimestampMs, sibling.Dot.Actor.Value, sibling.Dot.Counter))] : null,
            Acknowledgements = (uint)completion.Acknowledgements,
            Degraded = completion.Degraded,
            Regime = (Contracts.V1.Regime)completion.Regime,
            Epoch = completion.Epoch.Value,
            StalenessMs = completion.StalenessMs,
            LeaderHint = completion.LeaderHint.Value,
            Reason = completion.Reason,
            Missing = completion.Missing is { } missing ? [.. missing.Select(replica => new WireMissingReplica(replica.Node.Value, (ulong)replica.ForMs))] : null,
            Retryable = IsRetryable(completion.Code),
            Items = completion.Items is { } items ? [.. items.Select(MapItem)] : null,
            More = completion.More,
            Node = self.Value,
            Counter = completion.Counter,
            ExpiresInMs = completion.ExpiresInMs,
            SessionPosition = completion.Session,
            HiddenLosers = (uint)completion.HiddenLosers,
            Transaction = completion.Transaction is { } transaction ? TransactionMapper.Encode(transaction, wallMs) : default,
        };
    }

    public WireResult Refusal(RefusalCode code, string reason, bool unknown = false, NodeId leader = default) => new()
    {
        Outcome = unknown ? Contracts.V1.Outcome.Unknown : Contracts.V1.Outcome.NotDone,
        Code = (Code)code,
        Reason = reason,
        Retryable = IsRetryable(code),
        LeaderHint = leader.Value,
        Node = self.Value,
    };

    /// <summary>Whether the same operation (a write: under the same request id) may succeed when it is sent again.</summary>
    public static bool IsRetryable(RefusalCode code) => code is RefusalCode.NoLeader or RefusalCode.NoQuorum or RefusalCode.NotLeader or RefusalCode.StaleEpoch
        or RefusalCode.WrongNode or RefusalCode.Overloaded or RefusalCode.LeadershipLost or RefusalCode.ShuttingDown or RefusalCode.Recovering or RefusalCode.DiskLow
        or RefusalCode.DeadlineExceeded or RefusalCode.ChangePending or RefusalCode.Switching or RefusalCode.NotCaughtUp or RefusalCode.ReplicaRemoved or RefusalCode.ClockSkew
        or RefusalCode.ProvisionalRefused or RefusalCode.OverlayFull
        or RefusalCode.SessionBehind or RefusalCode.TooStale;

    private static WireScanItem MapItem(Core.Replicas.ScanItem item) => new(
        item.Key,
        item.Value,
        item.OrderedVersion > LogIndex.Zero ? KvStateMachine.EncodeVersion(item.OrderedVersion) : item.Version,
        (uint)item.SiblingCount,
        item.ExpiresInMs);

    private ReadOnlyMemory<byte> VersionOf(LogIndex ordered, ReadOnlyMemory<byte> opaque)
    {
        if (ordered == LogIndex.Zero)
        {
            return opaque;
        }

        KvStateMachine.WriteVersion(_version, ordered);
        return _version;
    }
}

using System.Diagnostics;
using System.Threading.Tasks.Sources;
using KvStore.Client.Routing;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Client.Operations;

/// <summary>
/// One operation from the call to its outcome, over all its attempts. Pooled, and its own awaitable. It has one owner at any time: the thread that drives it, a slot of a stream, or a parking lot. Whoever
/// takes it out of its place under that place's lock owns it, so nothing in here needs a lock of its own. After a successful hand-over the former owner must not touch it again.
/// </summary>
internal sealed class KvOperation(Dispatcher dispatcher) : IValueTaskSource<KvWriteResult>, IValueTaskSource<WireResult>
{
    public WireOperation Wire;
    public WireResult Answer;
    public TriedNodes Tried;
    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };

    public string Keyspace { get; set; } = "";

    public CancellationToken Token { get; set; }

    /// <summary>Conditional writes answer NotDone (by the condition) and Unknown as values.</summary>
    public bool IsConditional { get; set; }

    public bool RetryNoQuorumUntilDeadline { get; set; }

    /// <summary>Null: it belongs to none.</summary>
    public KvSession? Session { get; set; }

    /// <summary>A read that any replica may answer, and for which no second one was asked yet. Changed where the operation is owned, or under the lock of its slot.</summary>
    public bool MayBeHedged { get; set; }

    /// <summary>Counts towards what such reads take.</summary>
    public bool IsAnyReplicas { get; set; }

    /// <summary>Not null: this is the second request of a read that is under way elsewhere. Nobody awaits it.</summary>
    public Connections.IOperationStream? TwinStream { get; set; }

    public ulong TwinCallId { get; set; }

    /// <summary>The number of its shard, once it is known.</summary>
    public uint ShardNumber { get; set; }

    public long StartedMs { get; set; }

    public long StartedTimestamp { get; set; }

    public long DeadlineMs { get; set; }

    /// <summary>When the present attempt is given up in favour of another.</summary>
    public long AttemptEndsMs { get; set; }

    /// <summary>When a parked operation goes on.</summary>
    public long WakeAtMs { get; set; }

    /// <summary>After a refusal for lack of a quorum: when to report it instead of looking further. Otherwise never.</summary>
    public long GiveUpMs { get; set; }

    public ShardRoute? Shard { get; set; }

    public RouteKind Route { get; set; }

    public int Attempts { get; set; }

    public int Backoffs { get; set; }

    public KvPhase Phase { get; set; }

    /// <summary>An attempt of this write was sent, and nobody knows what became of it.</summary>
    public bool Unresolved { get; set; }

    /// <summary>Such an attempt was made while the keyspace was adaptive: it may wait in some overlay, and be merged at any later time, whatever the keyspace is by then.</summary>
    public bool MayBeInOverlay { get; set; }

    public uint LastNode { get; set; }

    public KvCode LastCode { get; set; }

    public string? LastReason { get; set; }

    public IReadOnlyList<WireMissingReplica>? LastMissing { get; set; }

    /// <summary>No endpoint has told a topology yet.</summary>
    public bool AwaitsFirstTopology { get; set; }

    public Activity? Activity { get; set; }

    public bool IsWrite => Wire.Kind is OperationKind.Put or OperationKind.Delete or OperationKind.Increment or OperationKind.Transaction;

    /// <summary>A replica asked in this round can reach a majority.</summary>
    public bool SawMajority { get; set; }

    public bool SawNoQuorum => GiveUpMs != long.MaxValue;

    public string Name => Wire.Kind switch
    {
        OperationKind.Get => "get",
        OperationKind.Put => "put",
        OperationKind.Delete => "delete",
        OperationKind.Increment => "increment",
        OperationKind.Transaction => "transaction",
        _ => "scan",
    };

    public short Version => _core.Version;

    public bool IsOver(long nowMs) => nowMs >= DeadlineMs || Token.IsCancellationRequested;

    public void Succeed(in WireResult answer)
    {
        Answer = answer;
        _core.SetResult(true);
    }

    public void Fail(Exception exception) => _core.SetException(exception);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    KvWriteResult IValueTaskSource<KvWriteResult>.GetResult(short token)
    {
        try
        {
            _core.GetResult(token);
            return new KvWriteResult
            {
                Outcome = (KvOutcome)Answer.Outcome,
                Version = KvVersion.Received(Answer.Version),
                Acknowledgements = (int)Answer.Acknowledgements,
                Degraded = Answer.Degraded,
                EarlierAttemptUnanswered = Unresolved && Answer.Outcome == Outcome.Done,
                Regime = (KvRegime)Answer.Regime,
                Epoch = Answer.Epoch,
                Code = (KvCode)Answer.Code,
                Reason = Answer.Reason,
                Node = Answer.Node,
            };
        }
        finally
        {
            Recycle();
        }
    }

    WireResult IValueTaskSource<WireResult>.GetResult(short token)
    {
        try
        {
            _core.GetResult(token);
            return Answer;
        }
        finally
        {
            Recycle();
        }
    }

    /// <summary>For one that nobody awaits.</summary>
    public void Discard() => Recycle();

    private void Recycle()
    {
        Wire = default;
        Answer = default;
        Tried = default;
        Token = default;
        IsConditional = false;
        Session = null;
        MayBeHedged = false;
        IsAnyReplicas = false;
        TwinStream = null;
        Shard = null;
        Attempts = 0;
        Backoffs = 0;
        Phase = KvPhase.Queued;
        Unresolved = false;
        MayBeInOverlay = false;
        LastNode = 0;
        LastCode = KvCode.None;
        LastReason = null;
        LastMissing = null;
        AwaitsFirstTopology = false;
        Activity = null;
        _core.Reset();
        dispatcher.Pool.Return(this);
    }
}

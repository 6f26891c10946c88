using System.Collections.Concurrent;
using KvStore.Client.Connections;
using KvStore.Client.Routing;
using KvStore.Client.Telemetry;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Client.Operations;

/// <summary>
/// Carries every operation from the call to its outcome:
/// <list type="number">
/// <item>Start: a write gets its request id (or waits for room in the window).</item>
/// <item>Drive: shard by key, node by <see cref="NodeSelector"/>, hand-over to the node's stream.</item>
/// <item>OnAnswer, OnLost: the attempt is over; report, go elsewhere, or park for a jittered pause of 5 to 100 ms.</item>
/// <item>The <see cref="Sweeper"/> wakes the parked and ends what is overdue.</item>
/// </list>
/// A write that was sent and not answered is unresolved: only "done" or "the condition did not hold" under the same request id resolves it; any other end is unknown.
/// </summary>
internal sealed class Dispatcher
{
    [ThreadStatic]
    private static bool _drivesAdmitted;

    private const int MinBackoffMs = 5;
    private const int MaxBackoffMs = 100;
    private const int KeyspaceGraceMs = 1_000;
    private const int QuorumSearchMs = 2_000;
    private const int TopologyPollMs = 100;

    private readonly ParkingLot _pausing = new();
    private readonly ParkingLot _awaitingTopology = new();
    private readonly ConcurrentQueue<KvOperation> _admitted = new();
    private readonly RequestWindow _window;
    private readonly int _attemptTimeoutMs;
    private volatile ClusterMap? _map;
    private volatile bool _closed;

    public Dispatcher(KvClientOptions options, TimeProvider time)
    {
        Clock = new ClientClock(time);
        Pool = new OperationPool(this);
        Connections = new ConnectionTable(options, this);
        Sweeper = new Sweeper(this);
        _window = new RequestWindow((ulong)Random.Shared.NextInt64(1, long.MaxValue));
        _attemptTimeoutMs = (int)options.AttemptTimeout.TotalMilliseconds;
    }

    public ClientClock Clock { get; }

    public OperationPool Pool { get; }

    public ConnectionTable Connections { get; }

    public Sweeper Sweeper { get; }

    public ClusterMap? Map => _map;

    /// <summary>Called when an answer shows that the topology may be out of date; the argument is the node that knew better, or does not serve.</summary>
    public Action<uint>? TopologyDoubted { get; set; }

    public void Learn(ClusterMap map)
    {
        _map = map;
        Connections.Apply(map.Public.Members);
        List<KvOperation> waiting = [];
        _awaitingTopology.TakeAll(waiting);
        waiting.ForEach(Drive);
    }

    public void Start(KvOperation operation)
    {
        operation.Activity = ClientTelemetry.Start(operation.Name, operation.Keyspace);
        operation.StartedTimestamp = Clock.Timestamp;
        operation.WakeAtMs = long.MaxValue;
        operation.GiveUpMs = long.MaxValue;
        operation.SawMajority = false;
        Sweeper.Enter();
        if (operation.Token.IsCancellationRequested || _closed)
        {
            Expire(operation);
        }
        else if (!operation.IsWrite || _window.TryBeginOrPark(operation))
        {
            Drive(operation);
        }
    }

    public void Drive(KvOperation operation)
    {
        while (true)
        {
            long nowMs = Clock.NowMs;
            if (_closed || operation.IsOver(nowMs))
            {
                Expire(operation);
                return;
            }

            if (nowMs >= operation.GiveUpMs)
            {
                Report(operation, KvCode.NoQuorum, operation.LastReason);
                return;
            }

            if (!Resolve(operation, nowMs))
            {
                return;
            }

            NodeConnection? target = NodeSelector.Choose(Connections, operation.Shard!, operation.Route, operation.Tried, nowMs);
            if (target is null)
            {
                EndRound(operation);
                return;
            }

            operation.Attempts++;
            operation.LastNode = target.Node;
            operation.Wire.AcknowledgedFloor = operation.IsWrite ? _window.Floor : 0;
            operation.Wire.TimeoutMs = (uint)Math.Max(1, operation.DeadlineMs - nowMs);
            operation.AttemptEndsMs = Math.Min(operation.DeadlineMs, nowMs + _attemptTimeoutMs);
            switch (target.TrySubmit(operation, nowMs))
            {
                case Submission.Accepted:
                    return;
                case Submission.Full:
                    operation.Attempts--;
                    Report(operation, KvCode.Overloaded, null);
                    return;
                default:
                    operation.Attempts--;
                    operation.Phase = KvPhase.Connecting;
                    operation.Tried.Add(target.Node);
                    continue;
            }
        }
    }

    /// <summary>A node answered. The caller has taken the operation out of its slot.</summary>
    public void OnAnswer(KvOperation operation, in WireResult answer, uint from)
    {
        operation.Phase = KvPhase.Server;
        operation.LastNode = answer.Node != 0 ? answer.Node : from;
        if (answer.Outcome == Outcome.Done)
        {
            // A node that forwarded says who served; one that names itself may merely have relayed, and teaches nothing.
            if (operation.Route == RouteKind.Leader && answer.Node != from)
            {
                operation.Shard!.Learn(answer.Node);
            }

            Complete(operation, answer);
            return;
        }

        operation.LastCode = (KvCode)answer.Code;
        operation.LastReason = answer.Reason;
        operation.Unresolved |= operation.IsWrite && answer.Outcome != Outcome.NotDone;
        if (answer.LeaderHint != 0)
        {
            operation.Shard!.Learn(answer.LeaderHint);
        }
        else if (answer.Code == Code.NotLeader)
        {
            operation.Shard!.Forget(from);
        }

        if (answer.Code is Code.NoLeader or Code.NotLeader or Code.LeadershipLost)
        {
            // This replica can reach a majority, which will have a leader again soon: another's "no quorum" is that one's own trouble.
            operation.SawMajority = true;
            operation.GiveUpMs = long.MaxValue;
        }

        if (answer.Code is Code.WrongNode or Code.StaleEpoch or Code.NoQuorum)
        {
            TopologyDoubted?.Invoke(from);
        }

        switch (AnswerPolicy.Judge(answer))
        {
            case Verdict.TryElsewhere:
                operation.Tried.Add(from);
                Drive(operation);
                break;
            case Verdict.PauseThenElsewhere:
                operation.Tried.Add(from);
                Pause(operation);
                break;
            case Verdict.Pause:
                Pause(operation);
                break;
            case Verdict.SeekQuorum:
                SeekQuorum(operation, from);
                break;
            case Verdict.Relearn when !operation.Unresolved:
                operation.Wire.Epoch = Math.Max(answer.Epoch, operation.Wire.Epoch);
                Pause(operation);
                break;
            default:
                ReportAnswer(operation, answer);
                break;
        }
    }

    /// <summary>The attempt ended without an answer: its stream broke, its time is up, or its caller has gone. The caller has taken the operation out of its slot.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="from">The node it was meant for.</param>
    /// <param name="loss">How far it came.</param>
    public void OnLost(KvOperation operation, uint from, AttemptLoss loss)
    {
        operation.Phase = loss switch
        {
            AttemptLoss.NeverConnected => KvPhase.Connecting,
            AttemptLoss.NeverSent => KvPhase.Queued,
            _ => KvPhase.Sent,
        };
        bool sent = loss == AttemptLoss.Sent;
        operation.Unresolved |= sent && operation.IsWrite;
        operation.Tried.Add(from);
        Drive(operation);
    }

    /// <summary>Wakes what is due. Called by the sweeper only.</summary>
    public void Sweep(List<KvOperation> due)
    {
        long nowMs = Clock.NowMs;
        Connections.Sweep(nowMs);
        due.Clear();
        if (_closed)
        {
            _pausing.TakeAll(due);
            _awaitingTopology.TakeAll(due);
        }

        _pausing.TakeDue(nowMs, due);
        _awaitingTopology.TakeDue(nowMs, due);
        due.ForEach(Drive);
        due.Clear();
        _window.TakeExpired(nowMs, _closed, due);
        due.ForEach(Expire);
    }

    public void Close()
    {
        _closed = true;
        Connections.Close();
    }

    /// <summary>Finds the shard; false: the operation has been parked or ended.</summary>
    private bool Resolve(KvOperation operation, long nowMs)
    {
        KeyspaceRoute? keyspace = _map?.Find(operation.Keyspace);
        if (keyspace is null || keyspace.Shards.Length == 0)
        {
            if (_map is not null && nowMs >= operation.StartedMs + KeyspaceGraceMs)
            {
                Report(operation, KvCode.UnknownKeyspace, null);
                return false;
            }

            operation.Phase = KvPhase.Connecting;
            operation.WakeAtMs = nowMs + TopologyPollMs;
            _awaitingTopology.Park(operation);
            return false;
        }

        ref WireOperation wire = ref operation.Wire;
        wire.KeyspaceId = keyspace.Id;
        int shard = wire.Kind == OperationKind.Scan ? (int)wire.Shard : KeyRouting.ShardOf(wire.Key.Span, keyspace.Shards.Length);
        if (shard >= keyspace.Shards.Length)
        {
            Report(operation, KvCode.StaleEpoch, "the keyspace has fewer shards than when the scan began");
            return false;
        }

        if (operation.IsWrite && !operation.Unresolved)
        {
            wire.Epoch = Math.Max(wire.Epoch, keyspace.Epoch);
        }

        operation.Shard = keyspace.Shards[shard];
        operation.Route = keyspace.IsOpen ? RouteKind.FirstReplica : wire.Level == ReadLevel.Eventual || wire.ServeAtReplica ? RouteKind.Nearest : RouteKind.Leader;
        return true;
    }

    /// <summary>Every node that could be asked has been.</summary>
    private void EndRound(KvOperation operation)
    {
        if (operation.SawNoQuorum && !operation.SawMajority && !operation.RetryNoQuorumUntilDeadline)
        {
            Report(operation, KvCode.NoQuorum, operation.LastReason);
            return;
        }

        operation.Tried.Clear();
        operation.SawMajority = false;
        Pause(operation);
    }

    private void SeekQuorum(KvOperation operation, uint from)
    {
        long nowMs = Clock.NowMs;
        operation.Tried.Add(from);
        if (!operation.RetryNoQuorumUntilDeadline && !operation.SawMajority)
        {
            operation.GiveUpMs = Math.Min(operation.GiveUpMs, nowMs + QuorumSearchMs);
            if (nowMs >= operation.GiveUpMs)
            {
                Report(operation, KvCode.NoQuorum, operation.LastReason);
                return;
            }
        }

        Pause(operation);
    }

    private void Pause(KvOperation operation)
    {
        int ceiling = Math.Min(MaxBackoffMs, MinBackoffMs << Math.Min(operation.Backoffs++, 8));
        operation.WakeAtMs = Clock.NowMs + Random.Shared.Next((ceiling + 1) / 2, ceiling + 1);
        _pausing.Park(operation);
    }

    private void ReportAnswer(KvOperation operation, in WireResult answer)
    {
        if (answer.Code == Code.ConditionFailed && operation.IsConditional)
        {
            Complete(operation, answer);
            return;
        }

        Report(operation, (KvCode)answer.Code, answer.Reason);
    }

    private void Expire(KvOperation operation)
    {
        if (operation.Token.IsCancellationRequested)
        {
            Retire(operation, KvCode.DeadlineExceeded);
            operation.Fail(new OperationCanceledException(operation.Token));
            return;
        }

        if (_closed)
        {
            Report(operation, KvCode.ShuttingDown, "the client was disposed");
            return;
        }

        bool refused = operation.Phase == KvPhase.Server && operation.LastCode != KvCode.None && !operation.Unresolved;
        KvCode code = refused ? operation.LastCode : KvCode.DeadlineExceeded;
        Report(operation, code, refused ? $"still {Failure.Describe(code)} when the deadline passed{(operation.LastReason is { Length: > 0 } r ? ": " + r : "")}" : null);
    }

    private void Report(KvOperation operation, KvCode code, string? reason)
    {
        bool unknown = operation.IsWrite && operation.Unresolved;
        Retire(operation, code);
        if (unknown && operation.IsConditional)
        {
            operation.Succeed(new WireResult { Outcome = Outcome.Unknown, Code = (Code)code, Reason = reason ?? Failure.Describe(code), Node = operation.LastNode });
        }
        else
        {
            operation.Fail(Failure.Of(operation, code, reason, unknown));
        }
    }

    private void Complete(KvOperation operation, in WireResult answer)
    {
        Retire(operation, (KvCode)answer.Code);
        operation.Succeed(answer);
    }

    /// <summary>The operation is over; its sequence number will never be sent again. The caller tells its awaiter next, and must not touch it after that.</summary>
    private void Retire(KvOperation operation, KvCode error)
    {
        Sweeper.Leave();
        if (operation.Activity is { } activity)
        {
            ClientTelemetry.Stop(activity, error);
        }

        if (ClientTelemetry.IsMeasured)
        {
            ClientTelemetry.Record(operation.Name, operation.Keyspace, Clock.Time.GetElapsedTime(operation.StartedTimestamp), error);
        }

        if (operation.Wire.Sequence != 0)
        {
            List<KvOperation>? admitted = null;
            _window.Finish(operation.Wire.Sequence, ref admitted);
            if (admitted is not null)
            {
                admitted.ForEach(_admitted.Enqueue);
                DriveAdmitted();
            }
        }
    }

    /// <summary>Driving one may end it, and its end admits the next: a loop, for a recursion could be as deep as the queue is long.</summary>
    private void DriveAdmitted()
    {
        if (_drivesAdmitted)
        {
            return;
        }

        _drivesAdmitted = true;
        try
        {
            while (_admitted.TryDequeue(out KvOperation? operation))
            {
                Drive(operation);
            }
        }
        finally
        {
            _drivesAdmitted = false;
        }
    }
}

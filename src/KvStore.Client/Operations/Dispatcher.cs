using System.Collections.Concurrent;
using KvStore.Client.Connections;
using KvStore.Client.Routing;
using KvStore.Client.Telemetry;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Client.Operations;

/// <summary>
/// Carries every operation from the call to its outcome:
/// <list type="number">
/// <item>Start: a write gets its request id (or waits for room in the window).</item>
/// <item>Drive: asks the <see cref="AttemptPlan"/>, and hands over to the stream of the node that it names.</item>
/// <item>OnAnswer, OnLost: the attempt is over; the plan says whether to report, go elsewhere, or park for a jittered pause of 5 to 100 ms.</item>
/// <item>The <see cref="Sweeper"/> wakes the parked and ends what is overdue.</item>
/// </list>
/// It has no socket, no thread and no clock of its own: streams, time and randomness are handed in, so that the simulator can play whole clients in virtual time.
/// </summary>
internal sealed class Dispatcher
{
    /// <summary>For <see cref="TopologyDoubted"/>: whichever node told it.</summary>
    public const uint AnyNode = 0;

    [ThreadStatic]
    private static bool _drivesAdmitted;

    private readonly ParkingLot _pausing = new();
    private readonly ParkingLot _awaitingTopology = new();
    private readonly ConcurrentQueue<KvOperation> _admitted = new();
    private readonly RequestWindow _window;
    private readonly AttemptPlan _plan;
    private volatile ClusterMap? _map;
    private volatile bool _closed;

    public Dispatcher(KvClientOptions options, TimeProvider time, Random random, StreamFactory streams)
    {
        Clock = new ClientClock(time);
        Random = random;
        Pool = new OperationPool(this);
        Connections = new ConnectionTable(options, this, streams);
        Sweeper = new Sweeper(this);
        _window = new RequestWindow(random);
        Hedging = new HedgePolicy(options.HedgedReads);
        Seeds = new SeedFindings(options.Endpoints);
        _plan = new AttemptPlan(Connections, Seeds, (int)options.AttemptTimeout.TotalMilliseconds, random);
    }

    public ClientClock Clock { get; }

    /// <summary>For jitter.</summary>
    public Random Random { get; }

    public OperationPool Pool { get; }

    public ConnectionTable Connections { get; }

    public Sweeper Sweeper { get; }

    /// <summary>For operations that wait for the first topology.</summary>
    public SeedFindings Seeds { get; }

    public HedgePolicy Hedging { get; }

    public ClusterMap? Map => _map;

    /// <summary>Called when an answer shows that the topology may be out of date; the argument is the node that knew better, or does not serve, or <see cref="AnyNode"/>.</summary>
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

            (ulong session, ulong floor) = operation.IsWrite ? _window.Current : default;
            NextStep step = _plan.Next(operation, _map, session, floor, nowMs);
            if (step.Kind != NextStepKind.Send)
            {
                CarryOut(operation, step);
                return;
            }

            switch (((NodeConnection)step.Node!).TrySubmit(operation, nowMs))
            {
                case Submission.Accepted:
                    return;
                case Submission.Full:
                    CarryOut(operation, AttemptPlan.OnFull(operation));
                    return;
                default:
                    AttemptPlan.OnUnavailable(operation, step.Node.Node);
                    continue;
            }
        }
    }

    /// <summary>A node answered. The caller has taken the operation out of its slot.</summary>
    public void OnAnswer(KvOperation operation, in WireResult answer, uint from)
    {
        if (operation.TwinStream is { } stream)
        {
            OnTwinAnswered(operation, stream, answer, from);
            return;
        }

        NextStep step = _plan.OnAnswer(operation, answer, from, Clock.NowMs);
        if (step.Kind == NextStepKind.Complete)
        {
            Complete(operation, answer);
            return;
        }

        if (answer.Code is Code.WrongNode or Code.StaleEpoch or Code.NoQuorum)
        {
            TopologyDoubted?.Invoke(from);
        }

        CarryOut(operation, step);
    }

    /// <summary>The attempt ended without an answer: its stream broke, its time is up, or its caller has gone. The caller has taken the operation out of its slot.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="from">The node it was meant for.</param>
    /// <param name="loss">How far it came.</param>
    public void OnLost(KvOperation operation, uint from, AttemptLoss loss)
    {
        if (operation.TwinStream is not null)
        {
            DiscardTwin(operation);
            return;
        }

        AttemptPlan.OnLost(operation, from, loss);
        Drive(operation);
    }

    /// <summary>
    /// Asks a second replica for a read that is slow. The second request is an operation of its own that nobody awaits: if it is answered first it takes the read out of its slot and completes it; if not, or if it is
    /// refused or lost, it just ends.
    /// </summary>
    public void Hedge(in SlowRead slow, uint slowNode, long nowMs)
    {
        if (_closed || !Hedging.TrySpend())
        {
            return;
        }

        KvOperation twin = Pool.Rent();
        twin.Wire = slow.Wire;
        twin.Keyspace = slow.Keyspace;
        twin.TwinStream = slow.Stream;
        twin.TwinCallId = slow.CallId;
        twin.StartedMs = nowMs;
        twin.DeadlineMs = slow.DeadlineMs;
        twin.GiveUpMs = long.MaxValue;
        twin.Tried.Add(slowNode);
        Sweeper.Enter();
        NextStep step = _plan.Next(twin, _map, session: 0, floor: 0, nowMs);
        if (step.Kind != NextStepKind.Send || ((NodeConnection)step.Node!).TrySubmit(twin, nowMs) != Submission.Accepted)
        {
            DiscardTwin(twin);
        }
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

    private void OnTwinAnswered(KvOperation twin, IOperationStream stream, in WireResult answer, uint from)
    {
        if (answer.Outcome == Outcome.Done && stream.Withdraw(twin.TwinCallId) is { } read)
        {
            read.LastNode = answer.Node != 0 ? answer.Node : from;
            read.Phase = KvPhase.Server;
            Complete(read, answer);
        }

        DiscardTwin(twin);
    }

    private void DiscardTwin(KvOperation twin)
    {
        Sweeper.Leave();
        twin.Discard();
    }

    /// <summary>Whatever the plan says, but for sending and completing, which need more than the operation.</summary>
    private void CarryOut(KvOperation operation, in NextStep step)
    {
        switch (step.Kind)
        {
            case NextStepKind.Pause:
                _pausing.Park(operation);
                break;
            case NextStepKind.AwaitTopology:
                if (_map is { IsComplete: false })
                {
                    // It has just started, or is cut off: another node may know more.
                    TopologyDoubted?.Invoke(AnyNode);
                }

                _awaitingTopology.Park(operation);
                break;
            case NextStepKind.Report:
                Report(operation, step.Code, step.Reason);
                break;
            default:
                Drive(operation);
                break;
        }
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

        CarryOut(operation, _plan.OnDeadline(operation, Clock.NowMs));
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
        if (operation.IsAnyReplicas)
        {
            Hedging.Observe(Clock.Time.GetElapsedTime(operation.StartedTimestamp).TotalMilliseconds);
        }

        operation.Session?.Learn(_map!.Public.ClusterId, operation.Wire.KeyspaceId, operation.ShardNumber, operation.Wire.SessionPosition, answer.SessionPosition);
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
            _window.Finish(operation.Wire.Session, operation.Wire.Sequence, operation.MayBeInOverlay, ref admitted);
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

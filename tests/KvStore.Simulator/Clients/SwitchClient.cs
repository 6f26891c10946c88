using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client of a shard that changes its regime: it learns from the answers what the shard is at the moment, writes as that allows, and sends every attempt of a request with the epoch in which it tried
/// first. What it is told of an epoch that has passed, it takes for "unknown" if an earlier attempt may have been executed.
/// </summary>
internal sealed class SwitchClient(ClientContext context, RegimesAgree regimes, SwitchedReads reads, int number, Random random, int operations)
{
    private sealed record Seen(ReadOnlyMemory<byte> Version, IReadOnlyList<string> Values);

    private sealed class Call
    {
        public required int Key { get; init; }

        public required ClientOperation Operation { get; init; }

        public required OperationInProgress Recorded { get; init; }

        public LogIndex Floor { get; init; }

        public SimulatedNode? Node { get; set; }

        public int Attempts { get; set; }

        public int Turn { get; set; }

        public bool MayHaveHappened { get; set; }

        public bool Writes => Operation.Kind != OperationKind.Get;
    }

    private const int MaxAttempts = 8;

    private readonly Dictionary<int, Seen> _seen = [];
    private readonly ulong _session = (ulong)random.NextInt64(1, long.MaxValue);
    private SimulatedNode? _leader;
    private Epoch _epoch = new(1);
    private Regime _regime = context.Cluster.Settings.IsOpen ? Regime.Open : Regime.Ordered;
    private ulong _sequence;
    private ulong _doubtful = ulong.MaxValue;
    private int _left = operations;
    private int _values;
    private Call? _call;

    public bool IsIdle => _call is null;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    public bool LastWasDone { get; private set; }

    public void Begin() => Think();

    public void PutNow(int key) => Open(key, OperationKind.Put, ReadLevel.Default, seen: null);

    private void Think() => context.Timeline.After(random.Next(1, context.Cluster.Settings.MaxThinkUs), () =>
    {
        if (_left <= 0 || context.Stopping)
        {
            return;
        }

        _left--;
        int key = random.Next(context.Cluster.Settings.Keys);
        Seen? seen = _seen.GetValueOrDefault(key);
        switch (random.Next(100))
        {
            case < 15:
                Open(key, OperationKind.Get, ReadLevel.Eventual, null);
                break;
            case < 40:
                Open(key, OperationKind.Get, _regime == Regime.Ordered ? ReadLevel.Linearizable : ReadLevel.Quorum, null);
                break;
            case < 70:
                Open(key, OperationKind.Put, ReadLevel.Default, null);
                break;
            case < 88:
                Open(key, OperationKind.Put, ReadLevel.Default, seen);
                break;
            case < 94:
                Open(key, OperationKind.Delete, ReadLevel.Default, seen);
                break;
            default:
                Open(key, OperationKind.Delete, ReadLevel.Default, null);
                break;
        }
    });

    private void Open(int key, OperationKind kind, ReadLevel level, Seen? seen)
    {
        string? input = kind == OperationKind.Put ? $"c{number}v{++_values}" : null;
        RecordedKind recorded = kind switch { OperationKind.Get => RecordedKind.Get, OperationKind.Put => RecordedKind.Put, _ => RecordedKind.Delete };
        seen = seen is { Version.IsEmpty: true } ? null : seen;
        _call = new Call
        {
            Key = key,
            Floor = reads.FloorOf(key),
            Recorded = context.Recorder.Begin($"c{number}", recorded, ClientKeys.Text(key), input, context: seen?.Values),
            Operation = new ClientOperation
            {
                Kind = kind,
                Level = level,
                Condition = seen is null ? WriteCondition.None : _regime == Regime.Ordered ? WriteCondition.IfVersion : WriteCondition.InContext,
                Key = ClientKeys.Bytes(key),
                Value = input is null ? default : ClientKeys.Value(input, random.Next(context.Cluster.Settings.MaxValueBytes)),
                Version = seen?.Version ?? default,
                Request = kind == OperationKind.Get ? RequestId.None : new RequestId(_session, ++_sequence, Math.Min(_sequence, _doubtful) - 1),
                Epoch = _epoch,
            },
        };
        Attempt(_call);
    }

    private void Attempt(Call call)
    {
        call.Attempts++;
        int turn = ++call.Turn;
        SimulatedNode any = context.Cluster.Nodes[random.Next(context.Cluster.Nodes.Count)];

        // In the open only the replica that took a request knows it again.
        SimulatedNode node = _regime == Regime.Open && call.MayHaveHappened ? call.Node ?? any : _regime == Regime.Ordered ? _leader ?? any : any;
        _leader = null;
        call.Node = node;
        int patienceMs = random.Next(100, 1_500);
        context.Cluster.Trace.Say(() => $"to {node.Id} in {call.Operation.Epoch}: {call.Recorded.Recorded}");
        ClientOperation operation = call.Operation;
        operation.DeadlineMs = context.Timeline.NowMs + patienceMs;
        context.Timeline.After((patienceMs + 50) * 1_000L, () =>
        {
            if (_call == call && call.Turn == turn)
            {
                call.MayHaveHappened = true;
                Retry(call);
            }
        });
        if (random.NextDouble() < context.Loss)
        {
            return;
        }

        context.Timeline.After(random.Next(20, 400), () => context.Cluster.Submit(node, operation, (_, completion) =>
        {
            if (random.NextDouble() >= context.Loss)
            {
                context.Timeline.After(random.Next(20, 400), () => OnAnswer(call, turn, node, completion));
            }
        }));
    }

    private void OnAnswer(Call call, int turn, SimulatedNode node, in Completion answer)
    {
        if (answer.Epoch > _epoch)
        {
            (_epoch, _regime) = (answer.Epoch, answer.Regime == Regime.Open ? Regime.Open : Regime.Ordered);
        }

        if (_call != call || call.Turn != turn)
        {
            return;
        }

        switch (answer.Outcome)
        {
            case Outcome.Done when call.Writes:
                OnWritten(call, node, answer);
                break;
            case Outcome.Done:
                OnRead(call, node, answer);
                break;
            case Outcome.NotDone when answer.Code == RefusalCode.ConditionFailed:
                _seen.Remove(call.Key);
                End(done: true, call.MayHaveHappened && !IsExactlyOnce(call) ? call.Recorded.Unknown : call.Recorded.NotDone);
                break;
            case Outcome.NotDone when answer.Code is RefusalCode.StaleEpoch or RefusalCode.LevelNotOffered:
                context.Cluster.Trace.Count(answer.Code == RefusalCode.StaleEpoch ? "stale epoch" : "level not offered");
                End(done: false, call.MayHaveHappened ? call.Recorded.Unknown : call.Recorded.NotDone);
                break;
            case Outcome.NotDone:
                OnRefused(call, answer);
                break;
            default:
                call.MayHaveHappened = true;
                Retry(call);
                break;
        }
    }

    /// <summary>Whether the log has seen to it that the request has one effect at most: then it was first tried while the log wrote.</summary>
    private bool IsExactlyOnce(Call call) => regimes.KindOf(call.Operation.Epoch) == RegimeKind.Ordered;

    private void OnWritten(Call call, SimulatedNode node, in Completion answer)
    {
        _leader = answer.Regime == Regime.Ordered ? node : null;
        if (answer.Regime == Regime.Provisional)
        {
            context.Cluster.Trace.Count("provisional write acknowledged");
        }

        if (call.MayHaveHappened && answer.Regime == Regime.Ordered && context.Cluster.Watch.Committed.IsNoWrite(answer.OrderedVersion))
        {
            // The answer remembers a merge: an earlier attempt was taken provisionally, and may have been superseded there before it came into the log.
            End(done: true, call.Recorded.Unknown);
            return;
        }

        bool isAlone = answer.Regime == Regime.Ordered && answer.Acknowledgements < PartitionPolicy.Majority(context.Cluster.Nodes.Count);
        if (answer.Regime == Regime.Ordered && !isAlone && answer.Epoch == call.Operation.Epoch)
        {
            reads.OnWritten(call.Key, answer.OrderedVersion, call.Floor, call.Attempts == 1);
        }

        // An early acknowledgement may be lost with its leader, and what one replica has outside the log with its disk; and what was sent twice in the open may have been written twice.
        bool mayGoWithDisk = context.Cluster.Settings.MayLoseDisk && answer.Regime != Regime.Ordered && answer.Acknowledgements < 2;
        bool counts = !isAlone && !mayGoWithDisk && (call.Attempts == 1 || IsExactlyOnce(call));
        End(done: true, counts ? call.Recorded.Done : call.Recorded.Unknown);
    }

    private void OnRead(Call call, SimulatedNode node, in Completion answer)
    {
        _leader = answer.Regime == Regime.Ordered && call.Operation.Level == ReadLevel.Linearizable ? node : null;
        IReadOnlyList<string> values = OpenClient.ValuesOf(answer);
        ReadOnlyMemory<byte> version = answer.OrderedVersion > LogIndex.Zero ? KvStateMachine.EncodeVersion(answer.OrderedVersion) : answer.Version;
        if (call.Operation.Level == ReadLevel.Linearizable && answer.Regime == Regime.Ordered && answer.Found)
        {
            reads.OnRead(call.Key, SwitchedReads.IndexOf(version), call.Floor);
        }

        _seen[call.Key] = new Seen(version, values);
        call.Recorded.Done(values);
        End(done: true);
    }

    private void OnRefused(Call call, in Completion answer)
    {
        if (answer.Code is RefusalCode.None or RefusalCode.RequestReused or RefusalCode.RequestExpired or RefusalCode.InvalidArgument)
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"c{number}: {call.Recorded.Recorded} in {call.Operation.Epoch} was refused as {answer.Code}: {answer.Reason}");
        }

        context.Cluster.Trace.Count(answer.Code == RefusalCode.Switching ? "refused while switching" : "refused");
        _leader = answer.LeaderHint.IsNone ? null : context.Cluster.Nodes[(int)answer.LeaderHint.Value - 1];
        Retry(call);
    }

    private void Retry(Call call)
    {
        if (call.Attempts >= MaxAttempts || !call.Writes)
        {
            End(done: false, call.MayHaveHappened ? call.Recorded.Unknown : call.Recorded.NotDone);
            return;
        }

        int waiting = ++call.Turn;
        context.Timeline.After(random.Next(1_000, 300_000), () =>
        {
            if (_call == call && call.Turn == waiting)
            {
                Attempt(call);
            }
        });
    }

    private void End(bool done, Action? record = null)
    {
        record?.Invoke();
        if (_call!.Writes && _call.MayHaveHappened && context.Cluster.Settings.SwitchesToAdaptive)
        {
            // It may be in some overlay, and be merged at any later time: no later request may let the log forget it.
            _doubtful = Math.Min(_doubtful, _call.Operation.Request.Sequence);
        }

        RecordedOperation recorded = _call!.Recorded.Recorded;
        context.Cluster.Trace.Say(recorded.ToString);
        LastWasDone = done;
        _call = null;
        Think();
    }
}

using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client of an ordered shard: one operation after another, each tried at some node, at the hinted leader, and again under the same request id until it is answered for good or it
/// has had enough.
/// </summary>
internal sealed class OrderedClient(ClientContext context, int number, Random random, int operations)
{
    private const int MaxAttempts = 12;

    private readonly Dictionary<int, (string? Value, LogIndex Version)> _seen = [];
    private readonly ulong _session = (ulong)random.NextInt64(1, long.MaxValue);
    private SimulatedNode? _leader;
    private ulong _sequence;
    private int _left = operations;
    private int _values;
    private OrderedCall? _call;

    public bool IsIdle => _call is null;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    /// <summary>Whether the last operation was done.</summary>
    public bool LastWasDone { get; private set; }

    /// <summary>Operations that were done.</summary>
    public int Done { get; private set; }

    public void Begin() => Think();

    /// <summary>Puts, whatever else the client would have done.</summary>
    public void PutNow(int key) => Open(new OrderedCall(key, OperationKind.Put, WriteCondition.None) { Input = NextValue() });

    public void GetNow(int key) => Open(new OrderedCall(key, OperationKind.Get, WriteCondition.None));

    private void Think() => context.Timeline.After(random.Next(1, context.Cluster.Settings.MaxThinkUs), () =>
    {
        if (_left > 0 && !context.Stopping)
        {
            _left--;
            Open(Choose());
        }
    });

    private OrderedCall Choose()
    {
        int key = random.Next(context.Cluster.Settings.Keys);
        if (number < context.Cluster.Settings.Readers)
        {
            return new OrderedCall(key, OperationKind.Get, WriteCondition.None);
        }

        bool known = _seen.TryGetValue(key, out (string? Value, LogIndex Version) seen) && seen.Value is not null;
        return random.Next(100) switch
        {
            < 35 => new OrderedCall(key, OperationKind.Get, WriteCondition.None),
            < 65 => new OrderedCall(key, OperationKind.Put, WriteCondition.None) { Input = NextValue() },
            < 72 => new OrderedCall(key, OperationKind.Delete, WriteCondition.None),
            < 82 => new OrderedCall(key, OperationKind.Put, WriteCondition.IfAbsent) { Input = NextValue() },
            < 95 when known => new OrderedCall(key, OperationKind.Put, WriteCondition.IfVersion) { Input = NextValue(), Expected = seen.Value, Version = seen.Version },
            _ when known => new OrderedCall(key, OperationKind.Delete, WriteCondition.IfVersion) { Expected = seen.Value, Version = seen.Version },
            _ => new OrderedCall(key, OperationKind.Get, WriteCondition.None),
        };
    }

    private string NextValue() => $"c{number}v{++_values}";

    private void Open(OrderedCall call)
    {
        _call = call;
        call.IsImpatient = _left > 0 && random.Next(4) == 0;
        call.Padding = random.Next(context.Cluster.Settings.MaxValueBytes);
        if (call.Kind != OperationKind.Get)
        {
            // The floor may lag behind what is really finished.
            ulong floor = _sequence - Math.Min(_sequence, (ulong)random.Next(4));
            call.Request = new RequestId(_session, ++_sequence, floor);
        }

        RecordedKind kind = call.Kind == OperationKind.Get ? RecordedKind.Get
            : call.Condition != WriteCondition.None ? RecordedKind.CompareAndSet
            : call.Kind == OperationKind.Put ? RecordedKind.Put : RecordedKind.Delete;
        call.Recorded = context.Recorder.Begin($"c{number}", kind, ClientKeys.Text(call.Key), call.Input, call.Expected);
        call.InvokedUs = context.Timeline.NowUs;
        Attempt(call);
    }

    private void Attempt(OrderedCall call)
    {
        call.Attempts++;
        int attempt = ++call.Turn;
        SimulatedNode node = _leader ?? context.AnyNode(random);
        _leader = null;
        int patienceMs = random.Next(100, 1_200);
        if (context.Cluster.Trace.IsRead)
        {
            string said = $"to {node.Id}: {call}";
            context.Cluster.Trace.Say(() => said);
        }

        ClientOperation operation = new()
        {
            Kind = call.Kind,
            Condition = call.Condition,
            Key = ClientKeys.Bytes(call.Key),
            Value = call.Input is null ? default : ClientKeys.Value(call.Input, call.Padding),
            Version = call.Version > LogIndex.Zero ? KvStateMachine.EncodeVersion(call.Version) : default,
            Request = call.Request,
            Epoch = new Epoch(1),
            AtReplica = call.Kind == OperationKind.Get && random.Next(3) == 0,
            DeadlineMs = context.Timeline.NowMs + patienceMs,
        };
        context.Timeline.After((patienceMs + 50) * 1_000L, () => GiveUp(call, attempt));
        if (random.NextDouble() < context.Loss)
        {
            return;
        }

        context.Timeline.After(random.Next(20, 400), () => context.Cluster.Submit(node, operation, (by, completion) =>
        {
            Term term = by.Replica!.IsLeader ? by.Replica.Term : Term.Zero;
            (ReplicaId replica, int incarnation) = (by.ReplicaId, by.Incarnation);
            if (random.NextDouble() >= context.Loss)
            {
                context.Timeline.After(random.Next(20, 400), () => OnAnswer(call, attempt, by, replica, incarnation, term, completion));
            }
        }));
    }

    private void GiveUp(OrderedCall call, int attempt)
    {
        if (_call == call && call.Turn == attempt)
        {
            call.MayHaveHappened = true;
            Retry(call);
        }
    }

    private void OnAnswer(OrderedCall call, int attempt, SimulatedNode node, ReplicaId replica, int incarnation, Term term, Completion answer)
    {
        if (_call != call || call.Turn != attempt)
        {
            return;
        }

        switch (answer.Outcome)
        {
            case Outcome.Done:
                OnDone(call, node, replica, incarnation, term, answer);
                break;
            case Outcome.NotDone when answer.Code == RefusalCode.ConditionFailed:
                context.Answers.OnMismatch(call);
                _seen.Remove(call.Key);
                call.Recorded!.Mismatched();
                End(done: true);
                break;
            case Outcome.NotDone when call.IsImpatient && !call.MayHaveHappened && answer.Code != RefusalCode.NotLeader:
                context.Answers.OnRefusal(call, answer);
                Fail(call);
                break;
            case Outcome.NotDone:
                context.Answers.OnRefusal(call, answer);
                _leader = answer.LeaderHint.IsNone ? null : context.Cluster.Nodes[(int)answer.LeaderHint.Value - 1];
                Retry(call);
                break;
            default:
                call.MayHaveHappened = true;
                if (answer.Code == RefusalCode.RequestExpired)
                {
                    context.Answers.OnExpired(call);
                }

                Retry(call);
                break;
        }
    }

    private void OnDone(OrderedCall call, SimulatedNode node, ReplicaId replica, int incarnation, Term term, in Completion answer)
    {
        _leader = node;
        string? value = call.Input;
        if (call.Kind == OperationKind.Get)
        {
            value = answer.Found ? ClientKeys.TextOf(answer.Value) : null;
            call.Recorded!.Done(value);
        }
        else
        {
            call.Recorded!.Done();
            if (call.Kind == OperationKind.Put && call.Condition == WriteCondition.None)
            {
                context.Cluster.Watch.LostWrites.OnAcknowledged(call.Input!, node, replica, incarnation);
            }
        }

        _seen[call.Key] = (value, answer.OrderedVersion);
        context.Answers.OnDone(call, value, answer.OrderedVersion, term, context.Timeline.NowUs);
        End(done: true);
    }

    private void Retry(OrderedCall call)
    {
        if (call.Attempts < MaxAttempts)
        {
            int waiting = ++call.Turn;
            context.Timeline.After(random.Next(1_000, 200_000), () =>
            {
                if (_call == call && call.Turn == waiting)
                {
                    Attempt(call);
                }
            });
            return;
        }

        if (call.MayHaveHappened)
        {
            call.Recorded!.Unknown();
        }
        else
        {
            Fail(call);
            return;
        }

        End(done: false);
    }

    /// <summary>Every attempt was refused for certain.</summary>
    private void Fail(OrderedCall call)
    {
        context.Answers.OnFailed(call);
        call.Recorded!.NotDone();
        End(done: false);
    }

    private void End(bool done)
    {
        if (context.Cluster.Trace.IsRead)
        {
            context.Cluster.Trace.Say(_call!.Recorded!.Recorded.ToString);
        }

        LastWasDone = done;
        Done += done ? 1 : 0;
        _call = null;
        Think();
    }
}

using KvStore.Core.Versioning;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client of an adaptive shard: one operation after another, each tried at some node, and again under the same request id, whichever side it meets. What was answered provisionally may take effect at
/// any later time, or never, if it is superseded before it is merged; it keeps its acknowledged floor below every request in doubt.
/// </summary>
internal sealed class AdaptiveClient(ClientContext context, int number, Random random, int operations)
{
    private const int MaxAttempts = 12;

    private readonly Dictionary<int, (string? Values, LogIndex Version)> _seen = [];
    private readonly ulong _session = (ulong)random.NextInt64(1, long.MaxValue);
    private SimulatedNode? _next;
    private ulong _sequence;
    private ulong _doubtful = ulong.MaxValue;
    private int _left = operations;
    private int _values;
    private OrderedCall? _call;

    public bool IsIdle => _call is null;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    public bool LastWasDone { get; private set; }

    public void Begin() => Think();

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
        bool known = _seen.TryGetValue(key, out (string? Values, LogIndex Version) seen) && seen.Values is not null;
        return random.Next(100) switch
        {
            < 35 => new OrderedCall(key, OperationKind.Get, WriteCondition.None),
            < 80 => new OrderedCall(key, OperationKind.Put, WriteCondition.None) { Input = NextValue() },
            < 87 => new OrderedCall(key, OperationKind.Delete, WriteCondition.None),
            < 90 => new OrderedCall(key, OperationKind.Put, WriteCondition.IfAbsent) { Input = NextValue() },
            _ when known => new OrderedCall(key, OperationKind.Put, WriteCondition.IfVersion) { Input = NextValue(), Expected = seen.Values, Version = seen.Version },
            _ => new OrderedCall(key, OperationKind.Get, WriteCondition.None),
        };
    }

    private string NextValue() => $"c{number}v{++_values}";

    private void Open(OrderedCall call)
    {
        _call = call;
        call.Padding = random.Next(context.Cluster.Settings.MaxValueBytes);
        if (call.Kind != OperationKind.Get)
        {
            ulong floor = _sequence - Math.Min(_sequence, (ulong)random.Next(4));
            call.Request = new RequestId(_session, ++_sequence, Math.Min(floor, _doubtful - 1));
        }

        RecordedKind kind = call.Kind == OperationKind.Get ? RecordedKind.Get
            : call.Condition != WriteCondition.None ? RecordedKind.CompareAndSet
            : call.Kind == OperationKind.Put ? RecordedKind.Put : RecordedKind.Delete;
        call.Recorded = context.Recorder.Begin($"c{number}", kind, ClientKeys.Text(call.Key), call.Input, call.Expected);
        Attempt(call);
    }

    private void Attempt(OrderedCall call)
    {
        call.Attempts++;
        int attempt = ++call.Turn;
        List<SimulatedNode> nodes = context.Cluster.Nodes;
        SimulatedNode node = _next ?? nodes[random.Next(nodes.Count)];
        _next = null;
        int patienceMs = random.Next(100, 1_200);
        ClientOperation operation = new()
        {
            Kind = call.Kind,
            Condition = call.Condition,
            Key = ClientKeys.Bytes(call.Key),
            Value = call.Input is null ? default : ClientKeys.Value(call.Input, call.Padding),
            Version = call.Version > LogIndex.Zero ? KvStateMachine.EncodeVersion(call.Version) : default,
            Request = call.Request,
            Epoch = new Epoch(1),
            RequireStrong = call.Kind == OperationKind.Get && random.Next(8) == 0,
            DeadlineMs = context.Timeline.NowMs + patienceMs,
        };
        context.Timeline.After((patienceMs + 50) * 1_000L, () => GiveUp(call, attempt));
        if (random.NextDouble() < context.Loss)
        {
            return;
        }

        context.Timeline.After(random.Next(20, 400), () => context.Cluster.Submit(node, operation, (by, completion) =>
        {
            if (random.NextDouble() >= context.Loss)
            {
                context.Timeline.After(random.Next(20, 400), () => OnAnswer(call, attempt, by, completion));
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

    private void OnAnswer(OrderedCall call, int attempt, SimulatedNode node, Completion answer)
    {
        if (_call != call || call.Turn != attempt)
        {
            return;
        }

        switch (answer.Outcome)
        {
            case Outcome.Done:
                OnDone(call, node, answer);
                break;
            case Outcome.NotDone when answer.Code == RefusalCode.ConditionFailed:
                // A version may have changed and the values come back: that the condition failed says nothing of the values.
                _seen.Remove(call.Key);
                Fail(call);
                break;
            case Outcome.NotDone:
                context.Answers.OnRefusal(call, answer);
                _next = answer.LeaderHint.IsNone ? null : context.Cluster.Nodes[(int)answer.LeaderHint.Value - 1];
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

    private void OnDone(OrderedCall call, SimulatedNode node, in Completion answer)
    {
        _next = random.Next(3) == 0 ? node : null;
        if (answer.Regime == Regime.Provisional)
        {
            OnProvisional(call, answer);
            return;
        }

        if (call.Kind == OperationKind.Get)
        {
            string? values = !answer.Found ? null
                : OverlayWatch.TextOf(answer.Siblings is { } siblings ? siblings.Select(sibling => sibling.Value) : [answer.Value]);
            call.Recorded!.Done(values);
            _seen[call.Key] = (values, IndexOf(answer));
        }
        else if (call.MayHaveHappened && context.Cluster.Watch.Committed.IsNoWrite(answer.OrderedVersion))
        {
            // The answer remembers a merge: an earlier attempt was taken provisionally. It superseded what was seen there and nothing newer, and may have been superseded there before it came into the log.
            context.Cluster.Watch.Overlays.OnAnsweredByMerge(call.Input);
            call.Recorded!.Unknown();
            _seen.Remove(call.Key);
        }
        else
        {
            call.Recorded!.Done();
            _seen.Remove(call.Key);
        }

        End(done: true, inDoubt: call.MayHaveHappened);
    }

    private void OnProvisional(OrderedCall call, in Completion answer)
    {
        if (call.Kind == OperationKind.Get)
        {
            // No part of the ordered history.
            call.Recorded!.NotDone();
            End(done: true, inDoubt: false);
            return;
        }

        if (call.Condition != WriteCondition.None)
        {
            throw new Engine.SimulationFailedException(Engine.SimulationFailedException.Answers, $"A conditional write was done provisionally: {call}.");
        }

        if (call.Kind == OperationKind.Put && call.Attempts == 1)
        {
            // A retry is told the version that the key has by now.
            context.Cluster.Watch.Overlays.OnAcknowledged(call.Input!, answer.Version);
        }

        call.Recorded!.Unknown();
        End(done: true, inDoubt: call.MayHaveHappened);
    }

    private void Retry(OrderedCall call)
    {
        if (call.Attempts < MaxAttempts)
        {
            int waiting = ++call.Turn;
            context.Timeline.After(random.Next(1_000, 400_000), () =>
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
            End(done: false, inDoubt: true);
        }
        else
        {
            Fail(call);
        }
    }

    /// <summary>Every attempt was refused for certain.</summary>
    private void Fail(OrderedCall call)
    {
        if (call.MayHaveHappened && call.Condition != WriteCondition.None)
        {
            // An earlier attempt may have been done, and this one have met what it made of the key.
            call.Recorded!.Unknown();
            End(done: false, inDoubt: true);
            return;
        }

        context.Answers.OnFailed(call);
        call.Recorded!.NotDone();
        End(done: false, inDoubt: false);
    }

    private void End(bool done, bool inDoubt)
    {
        OrderedCall call = _call!;
        if (inDoubt && call.Kind != OperationKind.Get)
        {
            _doubtful = Math.Min(_doubtful, call.Request.Sequence);
        }

        if (context.Cluster.Trace.IsRead)
        {
            context.Cluster.Trace.Say(call.Recorded!.Recorded.ToString);
        }

        LastWasDone = done;
        _call = null;
        Think();
    }

    /// <summary>The index that a version stands for: that of a key with merged values says it in its context.</summary>
    private static LogIndex IndexOf(in Completion answer) => answer.OrderedVersion > LogIndex.Zero || answer.Version.IsEmpty
        ? answer.OrderedVersion
        : new LogIndex(ObjectVersion.Decode(answer.Version).Context[ActorId.Log]);
}

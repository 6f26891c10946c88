using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client of an open shard: reads at any node, writes blindly or in the context of what it has read, and takes "unknown" for an answer. A retry is recorded as unknown whatever comes of it,
/// because after a restart of the node it may have been a second write.
/// </summary>
internal sealed class OpenClient(ClientContext context, int number, Random random, int operations)
{
    private sealed record Seen(ReadOnlyMemory<byte> Version, IReadOnlyList<string> Values);

    private sealed class Call
    {
        public required int Key { get; init; }

        public required ClientOperation Operation { get; init; }

        public required OperationInProgress Recorded { get; init; }

        public int Turn { get; set; }

        public bool Repeated { get; set; }
    }

    private readonly Dictionary<int, Seen> _seen = [];
    private readonly ulong _session = (ulong)random.NextInt64(1, long.MaxValue);
    private ulong _sequence;
    private int _left = operations;
    private int _values;
    private Call? _call;

    public bool IsIdle => _call is null;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    public bool LastWasDone { get; private set; }

    public void Begin() => Think();

    public void PutNow(int key) => Open(key, OperationKind.Put, ReadLevel.Default, seen: null);

    public void QuorumGetNow(int key) => Open(key, OperationKind.Get, ReadLevel.Quorum, seen: null);

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
            case < 30:
                Open(key, OperationKind.Get, ReadLevel.Eventual, null);
                break;
            case < 45:
                Open(key, OperationKind.Get, ReadLevel.Quorum, null);
                break;
            case < 65:
                Open(key, OperationKind.Put, ReadLevel.Default, null);
                break;
            case < 85:
                Open(key, OperationKind.Put, ReadLevel.Default, seen);
                break;
            case < 93:
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
        string client = level == ReadLevel.Quorum ? $"c{number}{ClientContext.QuorumMark}" : $"c{number}";
        _call = new Call
        {
            Key = key,
            Recorded = context.Recorder.Begin(client, recorded, ClientKeys.Text(key), input, context: seen?.Values),
            Operation = new ClientOperation
            {
                Kind = kind,
                Level = level,
                Condition = seen is null ? WriteCondition.None : WriteCondition.InContext,
                Key = ClientKeys.Bytes(key),
                Value = input is null ? default : ClientKeys.Value(input, random.Next(context.Cluster.Settings.MaxValueBytes)),
                Version = seen?.Version ?? default,
                Request = kind == OperationKind.Get ? RequestId.None : new RequestId(_session, ++_sequence, _sequence - 1),
                Epoch = new Epoch(1),
            },
        };
        Attempt(_call, context.AnyNode(random));
    }

    private void Attempt(Call call, SimulatedNode node)
    {
        int turn = ++call.Turn;
        int patienceMs = random.Next(100, 1_500);
        context.Cluster.Trace.Say(() => $"to {node.Id}: {call.Recorded.Recorded}");
        ClientOperation operation = call.Operation;
        operation.DeadlineMs = context.Timeline.NowMs + patienceMs;
        context.Timeline.After((patienceMs + 50) * 1_000L, () =>
        {
            if (_call == call && call.Turn == turn)
            {
                OnUnknown(call, node);
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
        if (_call != call || call.Turn != turn)
        {
            return;
        }

        switch (answer.Outcome)
        {
            case Outcome.Done when call.Operation.Kind == OperationKind.Get:
                IReadOnlyList<string> values = ValuesOf(answer);
                _seen[call.Key] = new Seen(answer.Version, values);
                call.Recorded.Done(values);
                End(done: true);
                break;
            case Outcome.Done when call.Repeated || !CountsAsAcknowledged(answer):
                End(done: false, call.Recorded.Unknown);
                break;
            case Outcome.Done:
                if (answer.Degraded || answer.Acknowledgements < 2)
                {
                    context.ThinWrites.Add(call.Recorded.Recorded.InvokeOrder);
                }

                End(done: true, call.Recorded.Done);
                context.Served.Add(call.Recorded.Recorded, node, isBlind: call.Operation.Condition == WriteCondition.None);
                break;
            case Outcome.NotDone:
                if (answer.Code is RefusalCode.LevelNotOffered or RefusalCode.None or RefusalCode.RequestReused or RefusalCode.NotLeader)
                {
                    throw new SimulationFailedException(SimulationFailedException.Answers, $"c{number}: {call.Operation.Kind} was refused as {answer.Code}: {answer.Reason}");
                }

                if (answer.Code == RefusalCode.InvalidArgument)
                {
                    // The version speaks of an actor's dots that were lost with its memory or disk.
                    _seen.Remove(call.Key);
                }

                End(done: false, call.Repeated ? call.Recorded.Unknown : call.Recorded.NotDone);
                break;
            default:
                OnUnknown(call, node);
                break;
        }
    }

    /// <summary>With a disk that may be lost, only what more than one replica held can be relied on.</summary>
    private bool CountsAsAcknowledged(in Completion answer)
    {
        if (context.Cluster.Settings.Mode.Replication == Replication.Sync && answer.Acknowledgements < 2 && !answer.Degraded)
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"c{number}: a sync write was acknowledged by {answer.Acknowledgements} replica, and is not called degraded.");
        }

        return !context.Cluster.Settings.MayLoseDisk || answer.Acknowledgements >= 2;
    }

    private void OnUnknown(Call call, SimulatedNode node)
    {
        if (call.Operation.Kind != OperationKind.Get && !call.Repeated && random.Next(3) == 0)
        {
            call.Repeated = true;
            Attempt(call, node);
            return;
        }

        End(done: false, call.Recorded.Unknown);
    }

    private void End(bool done, Action? record = null)
    {
        record?.Invoke();
        RecordedOperation recorded = _call!.Recorded.Recorded;
        context.Cluster.Trace.Say(recorded.ToString);
        LastWasDone = done;
        _call = null;
        Think();
    }

    public static IReadOnlyList<string> ValuesOf(in Completion answer)
    {
        if (!answer.Found)
        {
            return [];
        }

        return answer.Siblings is { } siblings
            ? [.. siblings.Select(sibling => ClientKeys.TextOf(sibling.Value)).Order(StringComparer.Ordinal)]
            : [ClientKeys.TextOf(answer.Value)];
    }
}

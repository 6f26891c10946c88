using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Simulator.Clients;
using KvStore.TestKit.Histories;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Clusters;

/// <summary>One operation after another on keys of all keyspaces, through a client that it shares with others. It knows nothing of nodes: where an operation goes, and how often, is the client's affair.</summary>
internal sealed class ClusterWorker(ClusterClient client, ClusterContext context, int number, Random random, int operations)
{
    private sealed record Seen(ReadOnlyMemory<byte> Version, IReadOnlyList<string> Values);

    private readonly record struct Plan(OperationKind Kind, WriteCondition Condition = WriteCondition.Unspecified, ReadLevel Level = ReadLevel.Unspecified);

    private readonly Dictionary<(uint Keyspace, int Key), Seen> _seen = [];
    private readonly string _name = $"c{client.Number}w{number}";
    private int _left = operations;
    private int _values;
    private bool _busy;

    public bool IsIdle => !_busy;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    /// <summary>Whether the last operation was done.</summary>
    public bool LastWasDone { get; private set; }

    private ClusterSettings Settings => client.World.Settings;

    public void Begin() => client.World.Timeline.After(random.Next(1, Settings.MaxThinkUs), () =>
    {
        if (_left <= 0 || context.Stopping)
        {
            return;
        }

        _left--;
        KeyspaceSettings keyspace = Settings.Keyspaces[random.Next(Settings.Keyspaces.Count)];
        int key = random.Next(Settings.Keys);
        Seen? seen = _seen.GetValueOrDefault((keyspace.Id, key));
        Open(keyspace, key, keyspace.IsOpen ? ChooseOpen(seen) : ChooseOrdered(seen), seen);
    });

    public void PutNow(KeyspaceSettings keyspace, int key) => Open(keyspace, key, new Plan(OperationKind.Put), seen: null);

    public void GetNow(KeyspaceSettings keyspace, int key) =>
        Open(keyspace, key, new Plan(OperationKind.Get, Level: keyspace.IsOpen ? ReadLevel.Quorum : ReadLevel.Linearizable), seen: null);

    private Plan ChooseOrdered(Seen? seen) => random.Next(100) switch
    {
        < 35 => new Plan(OperationKind.Get),
        < 62 => new Plan(OperationKind.Put),
        < 70 => new Plan(OperationKind.Delete),
        < 82 => new Plan(OperationKind.Put, WriteCondition.IfAbsent),
        < 95 when seen is not null => new Plan(OperationKind.Put, WriteCondition.IfVersion),
        _ when seen is not null => new Plan(OperationKind.Delete, WriteCondition.IfVersion),
        _ => new Plan(OperationKind.Get),
    };

    private Plan ChooseOpen(Seen? seen) => random.Next(100) switch
    {
        < 30 => new Plan(OperationKind.Get, Level: ReadLevel.Eventual),
        < 45 => new Plan(OperationKind.Get, Level: ReadLevel.Quorum),
        < 65 => new Plan(OperationKind.Put),
        < 85 => new Plan(OperationKind.Put, seen is null ? WriteCondition.Unspecified : WriteCondition.InContext),
        < 93 => new Plan(OperationKind.Delete, seen is null ? WriteCondition.Unspecified : WriteCondition.InContext),
        _ => new Plan(OperationKind.Delete),
    };

    private void Open(KeyspaceSettings keyspace, int key, Plan plan, Seen? seen)
    {
        _busy = true;
        string? input = plan.Kind == OperationKind.Put ? $"{_name}v{++_values}" : null;
        Seen? used = plan.Condition is WriteCondition.IfVersion or WriteCondition.InContext ? seen : null;
        RecordedKind kind = plan.Kind == OperationKind.Get ? RecordedKind.Get
            : plan.Condition is WriteCondition.IfAbsent or WriteCondition.IfVersion ? RecordedKind.CompareAndSet
            : plan.Kind == OperationKind.Put ? RecordedKind.Put : RecordedKind.Delete;
        OperationInProgress recorded = context.Recorder(keyspace).Begin(
            plan.Level == ReadLevel.Quorum ? _name + ClusterContext.QuorumMark : _name,
            kind,
            ClientKeys.Text(key),
            input,
            expected: plan.Condition == WriteCondition.IfVersion ? used!.Values[0] : null,
            context: plan.Condition == WriteCondition.InContext ? used!.Values : null);
        var wire = new WireOperation
        {
            Kind = plan.Kind,
            Level = plan.Level,
            Condition = plan.Condition,
            Key = ClientKeys.Bytes(key),
            Value = input is null ? default : ClientKeys.Value(input, random.Next(Settings.MaxValueBytes)),
            Version = used?.Version ?? default,
        };
        client.World.Trace.Add("call " + plan.Kind, client.Home.Index, keyspace.Id, (ulong)key);
        client.World.Trace.Say(() => $"{keyspace.Name}: {recorded.Recorded}");
        int timeoutMs = random.Next(4) == 0 ? random.Next(50, 500) : random.Next(500, 5_000);
        client.Begin(keyspace.Name, wire, timeoutMs, patient: random.Next(3) == 0, (outcome, answer, attempts) =>
        {
            if (attempts > 1)
            {
                client.World.Trace.Count("operation tried again");
            }

            LastWasDone = outcome == RecordedOutcome.Done;
            Note(keyspace, key, plan, recorded, outcome, answer, attempts);
            client.World.Trace.Add("ended " + recorded.Recorded.Outcome, client.Home.Index, keyspace.Id, (ulong)answer.Code);
            client.World.Trace.Say(() => $"{keyspace.Name}: {recorded.Recorded} after {attempts} attempts, {answer.Code} {answer.Reason}");
            _busy = false;
            Begin();
        });
    }

    private void Note(KeyspaceSettings keyspace, int key, Plan plan, OperationInProgress recorded, RecordedOutcome outcome, in WireResult answer, int attempts)
    {
        switch (outcome)
        {
            case RecordedOutcome.Done when plan.Kind == OperationKind.Get:
                NoteRead(keyspace, key, recorded, answer);
                break;
            case RecordedOutcome.Done:
                NoteWrite(keyspace, key, recorded, answer, attempts);
                break;
            case RecordedOutcome.NotDone when answer.Code == Code.ConditionFailed && recorded.Recorded.Kind == RecordedKind.CompareAndSet:
                _seen.Remove((keyspace.Id, key));
                recorded.Mismatched();
                break;
            case RecordedOutcome.NotDone:
                NoteRefusal(keyspace, key, recorded, answer);
                break;
            default:
                recorded.Unknown();
                break;
        }
    }

    private void NoteRead(KeyspaceSettings keyspace, int key, OperationInProgress recorded, in WireResult answer)
    {
        IReadOnlyList<string> values = ValuesOf(answer);
        if (keyspace.IsOpen || values.Count > 0)
        {
            _seen[(keyspace.Id, key)] = new Seen(answer.Version.ToArray(), values);
        }
        else
        {
            _seen.Remove((keyspace.Id, key));
        }

        if (keyspace.IsOpen)
        {
            recorded.Done(values);
        }
        else
        {
            recorded.Done(values.Count == 0 ? null : values[0]);
        }
    }

    private void NoteWrite(KeyspaceSettings keyspace, int key, OperationInProgress recorded, in WireResult answer, int attempts)
    {
        if (!keyspace.IsOpen)
        {
            if (recorded.Recorded.Input is { } value)
            {
                _seen[(keyspace.Id, key)] = new Seen(answer.Version.ToArray(), [value]);
            }
            else
            {
                _seen.Remove((keyspace.Id, key));
            }

            recorded.Done();
            return;
        }

        if (keyspace.Mode.Replication == Replication.Sync && answer.Acknowledgements < 2 && !answer.Degraded)
        {
            client.World.Fail($"{_name}: a sync write was acknowledged by {answer.Acknowledgements} replica, and is not called degraded: {recorded.Recorded}");
        }

        if (attempts > 1)
        {
            // After a restart of the node, or at another one, a repeated open write may have been a second write.
            recorded.Unknown();
            return;
        }

        if (answer.Acknowledgements < 2)
        {
            context.ThinWrites.Add((keyspace.Id, recorded.Recorded.InvokeOrder));
        }

        recorded.Done();
    }

    private void NoteRefusal(KeyspaceSettings keyspace, int key, OperationInProgress recorded, in WireResult answer)
    {
        bool wrong = answer.Code is Code.LevelNotOffered or Code.Unspecified or Code.RequestReused or Code.RequestExpired || (answer.Code == Code.InvalidArgument && !keyspace.IsOpen);
        if (wrong)
        {
            client.World.Fail($"{_name}: {recorded.Recorded} was refused as {answer.Code}: {answer.Reason}");
        }

        if (answer.Code == Code.InvalidArgument)
        {
            // The version speaks of dots that were lost with the memory of their actor.
            _seen.Remove((keyspace.Id, key));
        }

        recorded.NotDone();
    }

    public static IReadOnlyList<string> ValuesOf(in WireResult answer)
    {
        if (!answer.Found)
        {
            return [];
        }

        return answer.Siblings is { Count: > 0 } siblings
            ? [.. siblings.Select(sibling => ClientKeys.TextOf(sibling.Value)).Order(StringComparer.Ordinal)]
            : [ClientKeys.TextOf(answer.Value)];
    }
}

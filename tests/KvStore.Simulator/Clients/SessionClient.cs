using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client that keeps a session and moves: each operation goes to any node, with the position that the last answer brought. It writes and reads keys that session clients alone use and nobody deletes, and
/// what it sees of them goes to <see cref="SessionWatch"/>. A session that was lost, or that nobody can serve any more, is given up for a new one.
/// </summary>
internal sealed class SessionClient(ClientContext context, int number, Random random, int operations)
{
    public const int SessionKeys = 2;

    /// <summary>Refusals in a row after which a session is given up: what it has seen may be lost for good.</summary>
    private const int MaxRefusals = 6;

    private readonly ulong _session = (ulong)random.NextInt64(1, long.MaxValue);
    private readonly SessionWatch _watch = new($"s{number}", context.Cluster.Trace);
    private ReadOnlyMemory<byte> _position = SessionPosition.Empty.ToBytes();
    private SimulatedNode? _next;
    private ulong _sequence;
    private int _left = operations;
    private int _values;
    private int _refusals;
    private int _turn;

    public bool IsIdle { get; private set; } = true;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    public void Begin() => Think();

    private void Think() => context.Timeline.After(random.Next(1, context.Cluster.Settings.MaxThinkUs), () =>
    {
        if (_left > 0 && !context.Stopping)
        {
            _left--;
            Send(random.Next(SessionKeys), random.Next(2) == 0 ? OperationKind.Put : OperationKind.Get);
        }
    });

    private void Send(int key, OperationKind kind)
    {
        IsIdle = false;
        int turn = ++_turn;
        int patienceMs = random.Next(200, 2_500);
        SimulatedNode node = _next ?? context.Cluster.Nodes[random.Next(context.Cluster.Nodes.Count)];
        _next = null;
        string? input = kind == OperationKind.Put ? $"s{number}v{++_values}" : null;
        var operation = new ClientOperation
        {
            Kind = kind,
            Level = kind == OperationKind.Get ? ReadLevel.Session : ReadLevel.Default,
            Key = ClientKeys.Bytes(context.Cluster.Settings.Keys + key),
            Value = input is null ? default : ClientKeys.Value(input, 0),
            Request = input is null ? RequestId.None : new RequestId(_session, ++_sequence, _sequence - 1),
            Epoch = new Epoch(1),
            Session = _position,
            DeadlineMs = context.Timeline.NowMs + patienceMs,
        };
        context.Cluster.Trace.Say(() => $"s{number} to {node.Id}: {kind} of session key {key} at {SessionPosition.Decode(operation.Session)}");
        context.Timeline.After((patienceMs + 50) * 1_000L, () => End(turn));
        context.Timeline.After(random.Next(20, 400), () => context.Cluster.Submit(node, operation, (by, answer) =>
        {
            (ReplicaId replica, int incarnation) = (by.ReplicaId, by.Incarnation);
            if (random.NextDouble() < context.Loss)
            {
                return;
            }

            context.Timeline.After(random.Next(20, 400), () =>
            {
                if (_turn == turn)
                {
                    OnAnswer(key, input, by, replica, incarnation, answer);
                    End(turn);
                }
            });
        }));
    }

    private void OnAnswer(int key, string? input, SimulatedNode by, ReplicaId replica, int incarnation, in Completion answer)
    {
        if (answer.Outcome == Outcome.Done)
        {
            _refusals = 0;
            if (input is not null && answer.OrderedVersion > LogIndex.Zero)
            {
                context.Cluster.Watch.LostWrites.OnAcknowledged(input, by, replica, incarnation);
            }

            _watch.OnDone(by.Id, key, input is not null, answer);
            _position = answer.Session.ToArray();
        }
        else if (answer.Code == RefusalCode.SessionLost || (answer.Code == RefusalCode.SessionBehind && ++_refusals >= MaxRefusals))
        {
            _refusals = 0;
            _watch.OnGivenUp(answer.Code);
            _position = SessionPosition.Empty.ToBytes();
        }
        else if (!answer.LeaderHint.IsNone)
        {
            _next = context.Cluster.Nodes[(int)answer.LeaderHint.Value - 1];
        }
    }

    private void End(int turn)
    {
        if (_turn == turn && !IsIdle)
        {
            _turn++;
            IsIdle = true;
            Think();
        }
    }
}

/// <summary>The session clients of a run.</summary>
internal sealed class SessionClients
{
    private readonly List<SessionClient> _clients = [];

    public SessionClients(ClientContext context, Engine.SeedSource seeds)
    {
        for (int i = 0; i < context.Cluster.Settings.Sessions; i++)
        {
            _clients.Add(new SessionClient(context, i, seeds.Next(), context.Cluster.Settings.OperationsPerClient));
        }
    }

    public bool AreIdle => _clients.TrueForAll(client => client.IsIdle);

    public bool HaveFinished => _clients.TrueForAll(client => client.HasFinished);

    public void Begin() => _clients.ForEach(client => client.Begin());
}

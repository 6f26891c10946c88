using System.Collections.Immutable;
using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;

namespace KvStore.Core.Tests.Replicas;

/// <summary>
/// Replicas of one shard in one thread: messages arrive in the order in which they were sent, storage works at once, time passes by ticks. Links can be cut, nodes lose their power.
/// Replica n lives on node n unless a test says otherwise.
/// </summary>
internal sealed class ReplicaCluster
{
    public static readonly ShardId Shard = new(7, 0);

    private readonly SortedDictionary<NodeId, ReplicaMachine> _machines = [];
    private readonly Queue<(NodeId From, NodeId To, Action<ShardReplica> Deliver)> _network = new();
    private readonly HashSet<NodeId> _isolated = [];
    private readonly HashSet<NodeId> _minority = [];
    private ulong _lastHandle;
    private long _nowMs = 1_000;

    public ReplicaCluster(
        int founders,
        PartitionChoice partition = PartitionChoice.Cp,
        ReplicaOptions? options = null,
        long retainedLogBytes = 1 << 30,
        ConflictRule conflicts = ConflictRule.Siblings,
        ulong defaultTtlMs = 0,
        Replication replication = Replication.Sync,
        long memoryBytes = 0)
    {
        DefaultTtlMs = defaultTtlMs;
        Conflicts = conflicts;
        MemoryBytes = memoryBytes;
        Mode = new KeyspaceMode(partition, replication);
        Options = options ?? new ReplicaOptions();
        RetainedLogBytes = retainedLogBytes;
        Founders = [.. Enumerable.Range(1, founders).Select(id => PlaceOf((uint)id))];
        foreach (ReplicaPlace place in Founders)
        {
            Add(place);
        }
    }

    public KeyspaceMode Mode { get; }

    public ConflictRule Conflicts { get; }

    public long MemoryBytes { get; }

    public ReplicaOptions Options { get; }

    public long RetainedLogBytes { get; }

    public long NowMs => _nowMs;

    public ulong DefaultTtlMs { get; }

    public ImmutableArray<ReplicaPlace> Founders { get; }

    public Dictionary<ulong, Completion> Answers { get; } = [];

    /// <summary>Nodes to which snapshot pages were sent, in order.</summary>
    public List<NodeId> Pages { get; } = [];

    /// <summary>What stands between a replica that starts and its storage.</summary>
    public Func<NodeId, IReplicaStorage, IReplicaStorage> Over { get; set; } = (_, storage) => storage;

    /// <summary>Messages of these kinds get lost.</summary>
    public HashSet<string> Lost { get; } = [];

    /// <summary>Messages to these nodes of these kinds get lost.</summary>
    public HashSet<(uint To, string Kind)> LostOnWayTo { get; } = [];

    /// <summary>What was sent, in order, lost or not. To be cleared by who looks.</summary>
    public List<(uint From, uint To, string Kind)> Sent { get; } = [];

    public ReplicaMachine Leader => _machines.Values.Where(machine => machine.IsUp && machine.Replica.IsLeader).MaxBy(machine => machine.Replica.Term)
        ?? throw new InvalidOperationException("Nobody leads.");

    public static ReplicaPlace PlaceOf(uint id) => new(new NodeId(id), new ReplicaId(id));

    public static ImmutableArray<ReplicaPlace> Places(params ReadOnlySpan<uint> ids)
    {
        ImmutableArray<ReplicaPlace>.Builder places = ImmutableArray.CreateBuilder<ReplicaPlace>();
        foreach (uint id in ids)
        {
            places.Add(PlaceOf(id));
        }

        return places.ToImmutable();
    }

    public ReplicaMachine this[uint node] => _machines[new NodeId(node)];

    public ReplicaMachine Add(ReplicaPlace place)
    {
        var machine = new ReplicaMachine(this, place);
        _machines.Add(place.Node, machine);
        Settle();
        return machine;
    }

    /// <summary>Makes a replica lead, at a time when nobody else wants to.</summary>
    public ReplicaMachine Elect(uint node)
    {
        Settle();
        this[node].Replica.Campaign();
        Settle();
        return this[node].Replica.IsLeader ? this[node] : throw new InvalidOperationException($"n{node} was not elected.");
    }

    /// <summary>The leader hands over.</summary>
    public void HandOver(uint node)
    {
        Leader.Replica.TransferLeadership(new NodeId(node));
        TickUntil(() => this[node].Replica.IsLeader && Leader == this[node], $"n{node} leads");
        Tick(4);
    }

    public void Cut(uint node)
    {
        _isolated.Add(new NodeId(node));
        TellReachability();
    }

    /// <summary>These on one side, all others on the other.</summary>
    public void Split(params ReadOnlySpan<uint> minority)
    {
        foreach (uint node in minority)
        {
            _minority.Add(new NodeId(node));
        }

        TellReachability();
    }

    public void Heal()
    {
        _isolated.Clear();
        _minority.Clear();
        TellReachability();
    }

    public void Post(NodeId from, NodeId to, string kind, Action<ShardReplica> deliver)
    {
        Sent.Add((from.Value, to.Value, kind));
        if (!Lost.Contains(kind) && !LostOnWayTo.Contains((to.Value, kind)))
        {
            _network.Enqueue((from, to, deliver));
        }
    }

    public void NotePage(NodeId to, in SnapshotPage page) => Pages.Add(to);

    /// <summary>Until nothing moves any more.</summary>
    public void Settle()
    {
        const int MaxSteps = 1_000_000;
        for (int i = 0; i < MaxSteps; i++)
        {
            if (!Step())
            {
                return;
            }
        }

        throw new InvalidOperationException("The cluster does not come to rest.");
    }

    /// <summary>Everything that waits moves by one step. Returns whether there was anything.</summary>
    public bool Step()
    {
        bool moved = false;
        for (int waiting = _network.Count; waiting > 0; waiting--)
        {
            (NodeId from, NodeId to, Action<ShardReplica> deliver) = _network.Dequeue();
            moved = true;
            if (!IsCut(from, to) && _machines.TryGetValue(to, out ReplicaMachine? machine) && machine.IsUp)
            {
                deliver(machine.Replica);
            }
        }

        foreach (ReplicaMachine machine in _machines.Values)
        {
            moved |= machine.Step();
        }

        return moved || _network.Count > 0;
    }

    public void Tick(int ticks = 1)
    {
        for (int i = 0; i < ticks; i++)
        {
            TickWithoutRest();
            Settle();
        }
    }

    /// <summary>By how much every node believes its wall clock to be ahead of the cluster's.</summary>
    public void SetClockOffset(long ms)
    {
        foreach (ReplicaMachine machine in _machines.Values)
        {
            machine.SetClockOffset(ms);
        }
    }

    /// <summary>Time passes, and no tick has come yet.</summary>
    public void PassTime(int ms)
    {
        _nowMs += ms;
        foreach (ReplicaMachine machine in _machines.Values.Where(machine => machine.IsUp))
        {
            machine.SetClock(_nowMs);
        }
    }

    public void TickWithoutRest()
    {
        _nowMs += Options.TickMs;
        foreach (ReplicaMachine machine in _machines.Values.Where(machine => machine.IsUp))
        {
            machine.SetClock(_nowMs);
            machine.Replica.Tick();
        }
    }

    /// <summary>Ticks until it holds; fails after 2,000 ticks (50 s).</summary>
    public void TickUntil(Func<bool> condition, string what)
    {
        for (int i = 0; !condition(); i++)
        {
            if (i == 2_000)
            {
                throw new InvalidOperationException($"Never happened: {what}.");
            }

            Tick();
        }
    }

    public void TickUntilLed() => TickUntil(() => _machines.Values.Any(machine => machine.IsUp && machine.Replica.IsLeader), "somebody leads");

    /// <summary>Asks and does not wait. The answer comes into <see cref="Answers"/>.</summary>
    public ulong Ask(ReplicaMachine at, ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners, int patienceMs = 5_000)
    {
        at.Replica.ChangeMembers(++_lastHandle, voters, learners, _nowMs + patienceMs);
        at.Step();
        return _lastHandle;
    }

    /// <summary>Asks the leader and lets time pass until it has answered.</summary>
    public Completion Change(ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners)
    {
        ulong handle = Ask(Leader, voters, learners);
        Settle();
        TickUntil(() => Answers.ContainsKey(handle), "an answer to a change of the members");
        return Answers[handle];
    }

    /// <summary>Asks the leader for a mode and lets time pass until it has answered.</summary>
    public Completion ChangeMode(KeyspaceMode wanted) => ChangeModeAt(Leader, wanted);

    public Completion ChangeModeAt(ReplicaMachine at, KeyspaceMode wanted)
    {
        ulong handle = AskMode(at, wanted);
        Settle();
        TickUntil(() => Answers.ContainsKey(handle), "an answer to a change of the mode");
        return Answers[handle];
    }

    /// <summary>Asks and does not wait.</summary>
    public ulong AskMode(ReplicaMachine at, KeyspaceMode wanted)
    {
        at.Replica.ChangeMode(++_lastHandle, wanted, _nowMs + 20_000);
        at.Step();
        return _lastHandle;
    }

    public Completion PutIf(ReplicaMachine at, string key, string value, ReadOnlyMemory<byte> version) => Submit(at, new ClientOperation
    {
        Kind = OperationKind.Put,
        Condition = WriteCondition.IfVersion,
        Version = version,
        Key = Encoding.UTF8.GetBytes(key),
        Value = Encoding.UTF8.GetBytes(value),
    });

    public Completion Put(ReplicaMachine at, string key, string value, RequestId request = default, ulong ttlMs = 0, WriteCondition condition = WriteCondition.None) => Submit(at, new ClientOperation
    {
        Kind = OperationKind.Put,
        Condition = condition,
        Key = Encoding.UTF8.GetBytes(key),
        Value = Encoding.UTF8.GetBytes(value),
        TtlMs = ttlMs,
        Request = request,
    });

    public Completion Increment(ReplicaMachine at, string key, long by = 1, ulong sequence = 0, bool mayHaveHappened = false, ulong ttlMs = 0) => Submit(at, IncrementOf(key, by, sequence, mayHaveHappened, ttlMs));

    public static ClientOperation IncrementOf(string key, long by, ulong sequence = 0, bool mayHaveHappened = false, ulong ttlMs = 0) => new()
    {
        Kind = OperationKind.Increment,
        Key = Encoding.UTF8.GetBytes(key),
        Delta = by,
        TtlMs = ttlMs,
        Request = sequence == 0 ? RequestId.None : new RequestId(77, sequence, 0),
        MayHaveHappened = mayHaveHappened,
    };

    /// <summary>Lets so many milliseconds pass.</summary>
    public void Wait(int ms) => Tick((ms + Options.TickMs - 1) / Options.TickMs);

    public Completion Get(ReplicaMachine at, string key, ReadLevel level = ReadLevel.Default) => Submit(at, new ClientOperation { Kind = OperationKind.Get, Level = level, Key = Encoding.UTF8.GetBytes(key) });

    public Completion Scan(ReplicaMachine at) => Submit(at, new ClientOperation { Kind = OperationKind.Scan, Level = ReadLevel.Eventual, Limit = 1_000 });

    public Completion Submit(ReplicaMachine at, ClientOperation operation)
    {
        ulong handle = SubmitOnly(at, operation);
        Settle();
        TickUntil(() => Answers.ContainsKey(handle), "an answer");
        return Answers[handle];
    }

    public ulong SubmitOnly(ReplicaMachine at, ClientOperation operation)
    {
        operation.Handle = ++_lastHandle;
        operation.DeadlineMs = _nowMs + 5_000;
        at.Replica.Submit(operation);
        at.Step();
        return _lastHandle;
    }

    public static string TextOf(in Completion completion) => completion.Found ? Encoding.UTF8.GetString(completion.Value.Span) : "(none)";

    private bool IsCut(NodeId from, NodeId to) => _isolated.Contains(from) || _isolated.Contains(to) || _minority.Contains(from) != _minority.Contains(to);

    private void TellReachability()
    {
        foreach (ReplicaMachine machine in _machines.Values.Where(machine => machine.IsUp))
        {
            foreach (NodeId other in _machines.Keys.Where(other => other != machine.Node))
            {
                machine.Replica.SetReachable(other, !IsCut(machine.Node, other));
            }
        }
    }
}

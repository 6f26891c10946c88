using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Storage;

namespace KvStore.Core.Tests.Replicas;

/// <summary>One node of a <see cref="ReplicaCluster"/>: the production replica over the production storage on a simulated disk, stepped by hand.</summary>
internal sealed class ReplicaMachine : IPeerTransport, IStorageSink
{
    private readonly ReplicaCluster _cluster;
    private readonly Queue<StorageEvent> _reports = new();
    private readonly List<Completion> _completions = [];
    private SimulatedDisk _disk = new();
    private PumpedScheduler _scheduler = new();
    private NodeStorage? _storage;
    private StorageLoop? _loop;
    private ShardReplica? _replica;
    private ReplicaClock _clock = new();
    private ScanPage? _scanned;

    /// <summary>Each start draws another actor, as in production.</summary>
    private int _starts;

    public ReplicaMachine(ReplicaCluster cluster, ReplicaPlace place)
    {
        _cluster = cluster;
        Place = place;
        SetClock(cluster.NowMs);
        Start();
    }

    public ReplicaPlace Place { get; private set; }

    public NodeId Node => Place.Node;

    public bool IsUp => _replica is not null;

    public ShardReplica Replica => _replica ?? throw new InvalidOperationException("The node is down.");

    public ReplicaStatus Status => Replica.Describe();

    /// <summary>The replica's own storage, to look at and to damage.</summary>
    public IReplicaStorage View { get; private set; } = null!;

    /// <summary>Its members, as the tests write them: voters, then learners.</summary>
    public string Members
    {
        get
        {
            ReplicaStatus status = Status;
            string Ids(Func<MemberStatus, bool> which) => string.Join(' ', status.Members.Where(which).Select(member => member.Place.Replica));
            string text = Ids(member => member.IsVoter);
            text += status.IsJoint ? " leaving " + Ids(member => member.IsOutgoingVoter) : "";
            return Ids(member => member.IsLearner) is { Length: > 0 } learners ? text + " learning " + learners : text;
        }
    }

    /// <summary>How far the node's wall clock is ahead of the others'.</summary>
    public long WallAheadMs { get; set; }

    public void SetClockOffset(long ms) => _clock.OffsetMs = ms;

    public void SetClock(long nowMs) => _clock.Set(nowMs, (ulong)(nowMs + WallAheadMs));

    public void Start() => Start(givenUp: []);

    /// <summary>As an operator starts it who has given up other nodes for good.</summary>
    public void Start(ImmutableArray<NodeId> givenUp)
    {
        if (_starts > 0)
        {
            // Another process: its hybrid clock begins anew.
            _clock = new ReplicaClock();
            SetClock(_cluster.NowMs);
        }

        _scheduler = new PumpedScheduler();
        _reports.Clear();
        _storage = NodeStorage.Open(new StorageOptions
        {
            ClusterId = "tests",
            NodeId = Node,
            Engine = StorageEngine.Memory,
            Disk = _disk,
            SegmentBytes = 1 << 20,
            RetainedLogBytes = _cluster.RetainedLogBytes,
            Scheduler = _scheduler,
        });
        _loop = _storage.CreateLoop(this);
        IReplicaStorage storage = _cluster.Over(Node, _loop.OpenReplica(ReplicaCluster.Shard, out RecoveredReplica recovered));
        View = storage;
        var descriptor = new ShardDescriptor(ReplicaCluster.Shard, new Epoch(1), _cluster.Mode, _cluster.Founders, Place) { Conflicts = _cluster.Conflicts, DefaultTtlMs = _cluster.DefaultTtlMs, MemoryBytes = _cluster.MemoryBytes };
        _replica = new ShardReplica(descriptor, _cluster.Options with { GivenUp = givenUp }, storage, this, recovered, _clock, new Random((int)Place.Replica.Value + (1_000 * _starts++)), _completions);
        _replica.Start();
    }

    /// <summary>The keys that the view holds a record of, be it only the trace of a delete.</summary>
    public IReadOnlyList<string> RawKeys => [.. Records().Select(record => System.Text.Encoding.UTF8.GetString(record.Key.Span))];

    /// <summary>How many totals a counter consists of.</summary>
    public int Totals(string key) => DottedObject.Decode(Records().Single(record => System.Text.Encoding.UTF8.GetString(record.Key.Span) == key).Record).Values.Length;

    /// <summary>What is sealed goes to the view's disk.</summary>
    public void Flush() => _storage!.RequestFlush();

    public void LosePower()
    {
        _storage!.Abandon();
        _disk.Crash(new Random(1));
        _completions.Clear();
        _replica = null;
    }

    /// <summary>Of a node that is down.</summary>
    public void FlipBit(string file, long offset, int bit) => _disk.FlipBit(file, offset, bit);

    /// <summary>The directory is emptied, and the node comes back under another replica id (or, if somebody does it wrong, under the same).</summary>
    public void ComeBackEmpty(ReplicaId under)
    {
        if (IsUp)
        {
            LosePower();
        }

        _disk = new SimulatedDisk();
        Place = Place with { Replica = under };
        Start();
    }

    /// <summary>One step of the loop. Returns whether anything moved.</summary>
    public bool Step()
    {
        if (!IsUp)
        {
            return false;
        }

        bool moved = _scheduler.Step();
        while (_reports.TryDequeue(out StorageEvent report))
        {
            moved = true;
            Handle(report);
        }

        Replica.Turn();
        foreach (Completion completion in _completions)
        {
            _cluster.Answers[completion.Handle] = completion;
        }

        _completions.Clear();
        _loop!.Submit();
        return moved || !_scheduler.IsIdle;
    }

    public void Send(ShardId shard, NodeId to, in RaftMessage message)
    {
        RaftMessage copy = message;
        copy.Entries = message.Entries.ToArray().Select(entry => entry with { Payload = entry.Payload.ToArray() }).ToArray();
        _cluster.Post(Node, to, copy.Kind.ToString(), replica => replica.Receive(Node, copy));
    }

    public void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
    {
        byte[] copy = payload.ToArray();
        _cluster.Post(Node, to, kind.ToString(), replica => replica.Receive(Node, kind, copy));
    }

    public void Send(ShardId shard, NodeId to, in SnapshotPage page)
    {
        SnapshotPage copy = page with { Records = [.. page.Records] };
        _cluster.NotePage(to, copy);
        _cluster.Post(Node, to, "Page", replica => replica.Receive(Node, copy));
    }

    public void Post(in StorageEvent e) => _reports.Enqueue(e);

    private IReadOnlyList<ScannedRecord> Records()
    {
        const ulong OwnTag = ulong.MaxValue;
        _cluster.TickUntil(() => View.UnsealedBytes == 0, "the view is sealed");
        _scanned = null;
        View.BeginScan(new ScanRequest { Tag = OwnTag, Space = RecordSpace.Data, MaxRecords = 1_000, MaxBytes = 1_000_000 });
        while (_scanned is null)
        {
            Step();
        }

        return _scanned.Records;
    }

    private void Handle(in StorageEvent report)
    {
        if (report.Kind == StorageEventKind.Scanned && report.Page!.Tag == ulong.MaxValue)
        {
            _scanned = report.Page;
            return;
        }

        switch (report.Kind)
        {
            case StorageEventKind.Durable:
                if (Replica.WaitsForDurable)
                {
                    Replica.OnDurable(report.Durable);
                }

                break;
            case StorageEventKind.Loaded:
                Replica.OnLoaded(report.Tag);
                break;
            case StorageEventKind.Scanned:
                Replica.OnScanned(report.Page!);
                break;
            case StorageEventKind.Installed:
                Replica.OnInstalled(report.Position);
                break;
            default:
                throw new InvalidOperationException("Storage has failed.", report.Error);
        }
    }
}

using FluentAssertions;
using Google.Protobuf;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Node.Catalog;
using KvStore.Node.Clients;
using KvStore.Node.Loops;
using KvStore.Node.Peers;
using KvStore.Storage;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;
using static KvStore.Contracts.V1.Outcome;
using LoopBatch = KvStore.Node.Loops.OperationBatch;
using OperationKind = KvStore.Contracts.V1.OperationKind;
using WireBatch = KvStore.Contracts.V1.OperationBatch;

namespace KvStore.Cluster.Tests.Loops;

/// <summary>What a shard loop does with more than it can do at once. The loop is the real one, without replicas: each operation is refused by it, as for a shard that is elsewhere.</summary>
public sealed class ShardLoopInboxTests : IDisposable
{
    /// <summary>What one step takes of the clients' operations, and how many may wait (ShardLoop).</summary>
    private const int PerStep = 1_024;
    private const int MostWaiting = 4_096;

    private const uint Data = 5;

    private static readonly NodeId Self = new(1);

    private readonly HeldScheduler _scheduler = new();
    private readonly NodeStorage _storage;
    private readonly LoopSet _loops;
    private readonly CountingOrigin _origin = new();

    public ShardLoopInboxTests()
    {
        _storage = NodeStorage.Open(new StorageOptions { ClusterId = "inbox", NodeId = Self, Engine = StorageEngine.Memory, Disk = new SimulatedDisk() });
        var router = new ShardRouter(Self);
        ClusterCatalog catalog = ClusterCatalog.Initial("inbox", [new CatalogMember(Self, "node1:7001", 1)]);
        var keyspace = new CatalogKeyspace(Data, "data", new KeyspaceMode(PartitionChoice.Cp, Core.Policy.Replication.Sync), new Epoch(1), [[new CatalogReplica(Self, new ReplicaId(7))]]);
        router.Publish(catalog with { Revision = 1, Keyspaces = catalog.Keyspaces.Add(keyspace), NextKeyspaceId = Data + 1 });
        _loops = new LoopSet(Self, 1, _storage, () => new PeerOutbox(new NoPeers(), new OutboundBufferPool(), 1 << 20), router, new ReplicaOptions(), _scheduler, NullLogger<LoopSet>.Instance);
    }

    private ShardLoop Loop => _loops.Loops[0];

    public void Dispose() => _storage.Abandon();

    [Fact]
    public void Whatever_is_not_a_clients_operation_is_done_first_however_many_of_those_wait()
    {
        for (int i = 0; i < 4; i++)
        {
            Loop.Post(Batch(PerStep));
        }

        int answeredThen = -1;
        Loop.Post(_ => answeredThen = _origin.Answered);
        _scheduler.TakeTurn();

        answeredThen.Should().Be(0, "the command does not wait behind operations that came before it");
        _origin.Answered.Should().Be(PerStep, "a step takes so many, so that the next look at peers and clock is never far");
    }

    [Fact]
    public void A_batch_is_taken_whole_and_every_operation_is_answered_in_the_end()
    {
        Loop.Post(Batch(PerStep - 1));
        Loop.Post(Batch(PerStep));
        Loop.Post(Batch(7));
        _scheduler.TakeTurn();
        _origin.Answered.Should().Be((2 * PerStep) - 1);
        _scheduler.Waiting.Should().Be(1, "more waits, and nobody has to wake the loop for it");
        _scheduler.TakeTurn();

        _origin.Answered.Should().Be((2 * PerStep) + 6);
        _scheduler.Waiting.Should().Be(0);
    }

    [Fact]
    public void Operations_are_refused_before_they_wait_once_too_many_do_and_taken_again_afterwards()
    {
        Loop.Post(Batch(MostWaiting - 1));
        Loop.IsOverloaded.Should().BeFalse();
        Loop.Post(Batch(1));
        Loop.IsOverloaded.Should().BeTrue();

        List<WireResult> refusals = [];
        var intake = new OperationIntake(_origin, _loops, (in WireResult refusal) => refusals.Add(refusal));
        intake.Handle(Frame(callId: 17)).Should().BeTrue("there is something to send at once");
        WireResult refused = refusals.Should().ContainSingle().Which;
        (refused.CallId, refused.Code, refused.Outcome, refused.Retryable).Should().Be((17UL, Code.Overloaded, NotDone, true));
        intake.InFlight.Should().Be(0);
        _origin.Answered.Should().Be(0, "nothing of what waits had to be worked off for it");

        while (_scheduler.Waiting > 0)
        {
            _scheduler.TakeTurn();
        }

        Loop.IsOverloaded.Should().BeFalse();
        intake.Handle(Frame(callId: 18)).Should().BeFalse();
        _scheduler.TakeTurn();
        (_origin.Answered, refusals.Count).Should().Be((MostWaiting + 1, 1));
    }

    [Fact]
    public async Task A_single_call_is_refused_in_the_same_way_but_not_one_to_the_system_shard()
    {
        var executor = new OperationExecutor(_loops);
        Loop.Post(Batch(MostWaiting));

        Task<Result> refused = executor.ExecuteAsync(Get(Data), TestContext.Current.CancellationToken);
        refused.IsCompleted.Should().BeTrue("nothing of what waits had to be worked off for it");
        Result refusal = await refused;
        (refusal.Code, refusal.Outcome, refusal.Retryable).Should().Be((Code.Overloaded, NotDone, true));

        Task<Result> asked = executor.ExecuteAsync(Get(keyspace: 0), TestContext.Current.CancellationToken);
        asked.IsCompleted.Should().BeFalse("it waits for its turn");
        while (_scheduler.Waiting > 0)
        {
            _scheduler.TakeTurn();
        }

        (await asked).Code.Should().NotBe(Code.Overloaded);
        _origin.Answered.Should().Be(MostWaiting);
    }

    private static WireOperation Get(uint keyspace) => new() { Kind = OperationKind.Get, KeyspaceId = keyspace, Key = "a"u8.ToArray() };

    private static ReadOnlyMemory<byte> Frame(ulong callId) => new WireBatch
    {
        Operations = { new Operation { CallId = callId, Kind = OperationKind.Get, KeyspaceId = 0, Key = ByteString.CopyFromUtf8("a") } },
    }.ToByteArray();

    private LoopBatch Batch(int operations)
    {
        LoopBatch batch = OperationBatchPool.Rent(_origin);
        batch.Operations.AddRange(Enumerable.Repeat(new RoutedOperation { Shard = ShardId.System }, operations));
        return batch;
    }

    private sealed class CountingOrigin : OperationOrigin
    {
        public int Answered { get; private set; }

        public override void Deliver(ulong callId, ref WireResult result) => Answered++;

        public override void Kick()
        {
        }
    }

    private sealed class NoPeers : IPeerLaneDirectory
    {
        public IReadOnlyList<PeerLanes> Lanes { get; } = [];

        public void CountStrangerDropped() => throw new InvalidOperationException("Nothing is sent here.");
    }
}

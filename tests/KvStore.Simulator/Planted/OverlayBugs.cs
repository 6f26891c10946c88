using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;
using KvStore.Simulator.Network;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>A bug in how an overlay is kept, handed in or merged.</summary>
internal abstract class OverlayBug : PlantedBug
{
    public override ScenarioKind Kind => ScenarioKind.Adaptive;

    /// <summary>Five nodes, long partitions and a busy load: both sides write the same few keys.</summary>
    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn) with
    {
        Nodes = 5,
        Keys = 3,
        MaxThinkUs = 300_000,
        OperationsPerClient = 100,
        FaultEveryMs = 1_200,
        ProvisionalAfter = new Core.Policy.ProvisionalAfter(1_000),
        Replica = drawn.Replica with { OverlayBytes = 1 << 20 },
    };

    protected static OverlayRecord[] RecordsOf(ReadOnlySpan<byte> body)
    {
        BinaryCursor input = new(body.ToArray());
        OverlayRecord[] records = new OverlayRecord[input.ReadCount(1)];
        for (int i = 0; i < records.Length; i++)
        {
            records[i] = OverlayRecord.Decode(input.ReadBytes());
        }

        return records;
    }

    protected static byte[] BodyOf(IReadOnlyCollection<OverlayRecord> records)
    {
        var body = new ArrayBufferWriter<byte>();
        VarInt.Write(body, (ulong)records.Count);
        foreach (OverlayRecord record in records)
        {
            var one = new ArrayBufferWriter<byte>();
            record.Encode(one);
            VarInt.WriteBytes(body, one.WrittenSpan);
        }

        return body.WrittenSpan.ToArray();
    }

    /// <summary>Stands where batches leave for the leader.</summary>
    protected sealed class HandInSpoiler(IPeerTransport inner, Action<IPeerTransport, ShardId, NodeId, byte[]> send) : TransportDecorator(inner)
    {
        private readonly IPeerTransport _inner = inner;

        public override void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
        {
            if (kind == DottedMessageKind.HandIn)
            {
                send(_inner, shard, to, payload.ToArray());
            }
            else
            {
                _inner.Send(shard, to, kind, payload);
            }
        }
    }
}

/// <summary>The context of a record is brought up to date when it is handed in.</summary>
internal sealed class ContextRefilled : OverlayBug
{
    public override string Name => "overlay-context-refilled";

    public override string StandsFor => "A record whose context is filled with the clock of the moment it is handed in: it erases committed writes that its writer never saw (counterexample C1).";

    public override string ExpectedBy => "OverlayWatch";

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new HandInSpoiler(transport, (inner, shard, to, body) =>
    {
        LogIndex applied = node.Replica!.Position.Applied;
        VersionVector now = applied == LogIndex.Zero ? VersionVector.Empty : VersionVector.Of(Dot.OfLog(applied));
        inner.Send(shard, to, DottedMessageKind.HandIn, BodyOf([.. RecordsOf(body).Select(record =>
            new OverlayRecord(record.Key, record.Object.Fill(now), record.Dots.ToArray(), record.Requests.ToArray(), record.Epoch, record.SinceMs))]));
    });
}

/// <summary>The merge does not look whether a request was applied.</summary>
internal sealed class MergeWithoutDedup : OverlayBug
{
    public override string Name => "merge-without-dedup";

    public override string StandsFor => "A merge that forgets the requests behind its records: one that the client has retried with the leader takes effect twice (counterexample C6).";

    public override string ExpectedBy => "OneEffectPerRequest";

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new HandInSpoiler(transport, (inner, shard, to, body) =>
        inner.Send(shard, to, DottedMessageKind.HandIn, BodyOf([.. RecordsOf(body).Select(record =>
            new OverlayRecord(record.Key, record.Object, record.Dots.ToArray(), [], record.Epoch, record.SinceMs))])));
}

/// <summary>A batch accounts for more of its actors than it holds.</summary>
internal sealed class MergeClockTooFar : OverlayBug
{
    private const int RecordsPerBatch = 1;

    public override string Name => "merge-clock-too-far";

    public override string StandsFor => "A batch that accounts for its actors up to the highest counter its holder knows: records that come with later batches change nothing any more (counterexample C10).";

    public override string ExpectedBy => "OverlayWatch";

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new HandInSpoiler(transport, (inner, shard, to, body) =>
    {
        OverlayRecord[] records = RecordsOf(body);
        var highest = new SortedDictionary<ActorId, ulong>();
        foreach (Dot dot in records.SelectMany(record => record.Dots.ToArray()))
        {
            highest[dot.Actor] = Math.Max(highest.GetValueOrDefault(dot.Actor), dot.Counter);
        }

        // The first record, and the clock of all.
        inner.Send(shard, to, DottedMessageKind.HandIn, BodyOf([.. records.Take(RecordsPerBatch)]));
        var done = new ArrayBufferWriter<byte>();
        VarInt.Write(done, (ulong)highest.Count);
        foreach ((ActorId actor, ulong counter) in highest)
        {
            VarInt.WriteDot(done, new Dot(actor, counter));
        }

        inner.Send(shard, to, DottedMessageKind.HandInDone, done.WrittenSpan);
    });
}

/// <summary>A batch is handed in once.</summary>
internal sealed class HandInOnce : OverlayBug
{
    private readonly HashSet<(NodeId, int, int)> _sent = [];

    public override string Name => "hand-in-once";

    public override string StandsFor => "A batch that is not sent again when its message, or the leader that took it, is lost: the overlay is never merged.";

    public override string ExpectedBy => "Progress";

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new HandInSpoiler(transport, (inner, shard, to, body) =>
    {
        if (_sent.Add((node.Id, node.Incarnation, KeyHash.Of(body))))
        {
            inner.Send(shard, to, DottedMessageKind.HandIn, body);
        }
    });
}

/// <summary>The overlay is not put into the view.</summary>
internal sealed class OverlayNotInView : OverlayBug
{
    public override string Name => "overlay-not-in-view";

    public override string StandsFor => "An overlay that only the log backs: a restart after the view was sealed finds nothing of it, and acknowledged provisional writes are gone.";

    public override string ExpectedBy => "OverlayWatch";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Forgetful(storage);

    private sealed class Forgetful(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.Overlay)
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

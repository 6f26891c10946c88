using System.Buffers.Binary;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// A shard in memory after a restart of the process: the replica begins with nothing and copies from a peer. If every other replica says that it is beginning with nothing too, then what the shard held is gone. Waiting for
/// a source would be waiting for ever; so the first in placement order declares what is left to be all there is, loudly and durably, and the others copy from it (C21).
/// </summary>
/// <remarks>A peer that can't be reached may still have everything: then nobody declares anything, and the replicas serve as recovering ones until it is back or was removed from the shard.</remarks>
internal sealed class MemoryRecovery(ShardDescriptor descriptor, ReplicaPlaces places, ReplicaClock clock, DottedReplica dotted, DottedJournal journal, IReplicaStorage storage, PeerReachability peers)
{
    /// <summary>How long a replica that has just started waits to hear of a source, before those who ask whether it is ready are told that none is to be had.</summary>
    private const long GraceMs = 5_000;

    private const int RecordBytes = 16;

    private readonly HashSet<NodeId> _recovering = [];
    private readonly HashSet<NodeId> _sources = [];
    private long? _sinceMs;

    /// <summary>How often this replica has declared a loss, over the shard's whole life.</summary>
    public ulong Losses { get; private set; }

    /// <summary>The wall clock at the last one, Unix milliseconds.</summary>
    public ulong LastLossMs { get; private set; }

    /// <summary>The same since the start.</summary>
    public long LossesSinceStart { get; private set; }

    /// <summary>Nothing is here yet, and a peer that has it can be reached, or may turn up in a moment.</summary>
    public bool AwaitsCopy => dotted.IsRecovering && (_sources.Any(peers.IsReachable) || (_sinceMs is { } sinceMs && clock.NowMs - sinceMs < GraceMs));

    /// <summary>What the log says of earlier losses.</summary>
    public void Replay(IReadOnlyList<RecoveredRecord> records)
    {
        foreach (RecoveredRecord record in records)
        {
            if (record.Kind == LogRecordKind.MemoryLost && record.Payload.Length == RecordBytes)
            {
                Losses = BinaryPrimitives.ReadUInt64LittleEndian(record.Payload.Span);
                LastLossMs = BinaryPrimitives.ReadUInt64LittleEndian(record.Payload.Span[sizeof(ulong)..]);
            }
        }
    }

    /// <summary>The process has restarted and what this replica held is gone, or it is new.</summary>
    public void Begin()
    {
        _sinceMs = clock.NowMs;
        journal.Persist(dotted.FullCopy.Begin());
    }

    public void OnAdvertised(NodeId from, bool recovering)
    {
        (recovering ? _recovering : _sources).Add(from);
        (recovering ? _sources : _recovering).Remove(from);
    }

    public void OnTick()
    {
        if (dotted.IsRecovering && IsFirst() && AllOthersAreRecovering())
        {
            journal.Persist(dotted.GiveUpRecovery());
            Losses++;
            LossesSinceStart++;
            LastLossMs = clock.WallMs;
            byte[] record = new byte[RecordBytes];
            BinaryPrimitives.WriteUInt64LittleEndian(record, Losses);
            BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(sizeof(ulong)), LastLossMs);
            storage.Append(LogRecordKind.MemoryLost, default, default, record, SyncUrgency.Now);
        }
    }

    private bool IsFirst() => places.Members.Places.Length > 0 && places.Members.Places[0].Replica == descriptor.Self.Replica;

    private bool AllOthersAreRecovering()
    {
        foreach (NodeId peer in places.Peers)
        {
            if (!peers.IsReachable(peer) || !_recovering.Contains(peer))
            {
                return false;
            }
        }

        return true;
    }
}

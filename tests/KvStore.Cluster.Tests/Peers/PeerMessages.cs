using CsCheck;
using KvStore.Contracts.Pipeline;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>Random messages of every sort that travels between nodes.</summary>
internal static class PeerMessages
{
    private static readonly Gen<ulong> Number = Gen.Frequency((3, Gen.ULong[0, 300]), (1, Gen.ULong));

    private static readonly Gen<byte[]> Bytes = Gen.Byte.Array[0, 200];

    public static readonly Gen<ShardId> Shard = Gen.Select(Gen.UInt, Gen.Int[0, ushort.MaxValue], (keyspace, number) => new ShardId(keyspace, number));

    public static readonly Gen<RaftMessage> Raft = Gen.Select(
        Gen.Select(Gen.Byte[0, 13], Number, Number, Number),
        Gen.Select(Number, Number, Number, Number),
        Gen.Select(Gen.Bool, Number),
        Gen.Select(Number, Number, Gen.Byte[0, 2], Bytes, (term, index, kind, payload) => new Entry(new Term(term), new LogIndex(index), (EntryKind)kind, payload)).Array[0, 100],
        (head, place, answer, entries) => new RaftMessage
        {
            Kind = (RaftMessageKind)head.Item1,
            From = new ReplicaId(head.Item2),
            To = new ReplicaId(head.Item3),
            Term = new Term(head.Item4),
            Index = new LogIndex(place.Item1),
            LogTerm = new Term(place.Item2),
            Commit = new LogIndex(place.Item3),
            Hint = new LogIndex(place.Item4),
            Reject = answer.Item1,
            Round = answer.Item2,
            Entries = entries,
        });

    public static readonly Gen<(DottedMessageKind Kind, byte[] Payload)> Dotted = Gen.Select(Gen.Byte[0, 7], Bytes, (kind, payload) => ((DottedMessageKind)kind, payload));

    public static readonly Gen<SnapshotPage> Snapshot = Gen.Select(
        Gen.Select(Number, Number, Number, Number),
        Gen.Select(Gen.Int[0, int.MaxValue], Gen.Bool),
        Gen.Select(Number, Number, Number),
        Gen.Select(Gen.Byte[1, 4], Bytes, Bytes, (space, key, record) => new ScannedRecord((RecordSpace)space, key, record)).List[0, 20],
        (head, place, position, records) => new SnapshotPage
        {
            From = new ReplicaId(head.Item1),
            To = new ReplicaId(head.Item2),
            Term = new Term(head.Item3),
            SnapshotId = head.Item4,
            Number = place.Item1,
            Last = place.Item2,
            Position = new ViewPosition(new LogIndex(position.Item1), new Term(position.Item2), position.Item3),
            Records = records,
        });

    public static readonly Gen<WireOperation> Operation = Gen.Select(Number, Gen.UInt, Bytes, Bytes, (call, keyspace, key, value) => new WireOperation
    {
        CallId = call,
        Kind = KvStore.Contracts.V1.OperationKind.Put,
        KeyspaceId = keyspace,
        Key = key,
        Value = value,
        Session = call,
        Sequence = 1,
    });

    public static readonly Gen<WireResult> Result = Gen.Select(Number, Bytes, Gen.Bool, (call, value, found) => new WireResult
    {
        CallId = call,
        Outcome = KvStore.Contracts.V1.Outcome.Done,
        Found = found,
        Value = value,
        Node = 3,
    });
}

using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;
using KvStore.Core.Versioning;
using Regime = KvStore.Contracts.V1.Regime;

namespace KvStore.Node.Watching;

/// <summary>Changes as messages. Values are not copied: records are never written to again.</summary>
internal static class WatchEvents
{
    /// <summary>A message holds an event with the winner and all siblings.</summary>
    private const int MostSiblingBytes = KvLimits.MaxMessageBytes / 2;

    public static WatchEvent Mark(WatchEventKind kind, int shard, byte[] position) => new() { Kind = kind, Shard = (uint)shard, Position = Wrap(position) };

    public static WatchEvent Of(ShardChange change, int shard, byte[] position, WatchPlan plan)
    {
        var told = new WatchEvent
        {
            Kind = (WatchEventKind)change.Kind,
            Shard = (uint)shard,
            Key = Wrap(change.Key.Bytes),
            Position = Wrap(position),
            Epoch = change.Epoch.Value,
            Regime = change.IsOfLog ? Regime.Ordered : Regime.Open,
        };
        if (change.Kind == ShardChangeKind.Put)
        {
            // What the log leaves as an object has the index of the entry that changed it last in its context, and that is its version.
            Describe(told, change.Record, change.IsOfLog, LogIndex.Zero, plan);
        }

        return told;
    }

    /// <summary>A record as it was found; null: there is no value in it.</summary>
    public static WatchEvent? Current(in ScannedRecord record, in WatchPage page, ShardWatcher watcher)
    {
        DottedObject held = DottedObject.Decode(record.Record).AliveAt(watcher.Plan.WallMs);
        if (held.IsEmpty)
        {
            return null;
        }

        var told = new WatchEvent
        {
            Kind = WatchEventKind.Current,
            Shard = (uint)watcher.Feed.Shard.Number,
            Key = Wrap(record.Key),
            Epoch = page.Epoch.Value,
            Regime = page.IsOpen ? Regime.Open : Regime.Ordered,
        };
        Describe(told, record.Record, !page.IsOpen, page.Since, watcher.Plan);
        return told;
    }

    private static void Describe(WatchEvent told, ReadOnlyMemory<byte> record, bool isOrdered, LogIndex since, WatchPlan plan)
    {
        if (OrderedRecord.IsOrdered(record.Span))
        {
            OrderedRecord written = OrderedRecord.Decode(record);
            told.Value = Wrap(written.Visible);
            told.Version = Wrap(KvStateMachine.EncodeVersion(written.Index));
            Describe(told, written.Timestamp, written.ExpiresMs, plan);
            return;
        }

        DottedObject held = DottedObject.Decode(record);
        DottedObject shown = plan.OnlyWinner ? held.KeepWinner() : held;
        DottedValue winner = shown.Winner;
        told.Value = Wrap(winner.Value);
        told.Version = Wrap(ReplicaWatch.VersionOf(held, isOrdered, since));
        Describe(told, winner.Timestamp, winner.ExpiresMs, plan);
        IReadOnlyList<DottedValue> siblings = shown.Siblings();
        if (siblings.Count < 2)
        {
            return;
        }

        if (siblings.Sum(sibling => (long)sibling.Value.Length) > MostSiblingBytes)
        {
            told.Reason = $"The key has {siblings.Count} concurrent values, which are too large to be told together: read it.";
            return;
        }

        foreach (DottedValue sibling in siblings)
        {
            told.Siblings.Add(new Sibling { Value = Wrap(sibling.Value), TimestampMs = (ulong)sibling.Timestamp.PhysicalMs, Writer = sibling.Dot.Actor.Value, Write = sibling.Dot.Counter });
        }
    }

    private static void Describe(WatchEvent told, HybridTimestamp written, ulong expiresMs, WatchPlan plan)
    {
        told.TimestampMs = (ulong)written.PhysicalMs;
        told.ExpiresInMs = expiresMs == 0 ? 0 : Math.Max(1, expiresMs - Math.Min(expiresMs, plan.WallMs));
    }

    private static ByteString Wrap(ReadOnlyMemory<byte> bytes) => bytes.IsEmpty ? ByteString.Empty : UnsafeByteOperations.UnsafeWrap(bytes);
}

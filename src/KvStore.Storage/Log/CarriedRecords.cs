using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.Log;

/// <summary>
/// The last record of every shard of the kinds of which only the last counts. Each segment begins with a copy of them, so that the segments before it can go.
/// </summary>
internal sealed class CarriedRecords
{
    private readonly SortedDictionary<(ulong Shard, LogRecordKind Kind), Carried> _last = [];

    public static bool Carries(LogRecordKind kind) => kind is LogRecordKind.HardState or LogRecordKind.Incarnation or LogRecordKind.SnapshotInstalled or LogRecordKind.LostWritesCleared
        or LogRecordKind.MemoryLost;

    public IEnumerable<KeyValuePair<(ulong Shard, LogRecordKind Kind), Carried>> All => _last;

    public int TotalBytes
    {
        get
        {
            var total = 0;
            foreach (var carried in _last.Values)
            {
                total += LogFormat.TotalBytes(carried.Payload.Length);
            }

            return total;
        }
    }

    public void Note(ReadOnlySpan<byte> record)
    {
        var kind = LogFormat.Kind(record);
        var shard = LogFormat.Shard(record);
        if (kind == LogFormat.ShardRemoved)
        {
            _last.Remove((shard, LogRecordKind.HardState));
            _last.Remove((shard, LogRecordKind.Incarnation));
            _last.Remove((shard, LogRecordKind.SnapshotInstalled));
            _last.Remove((shard, LogRecordKind.LostWritesCleared));
            _last.Remove((shard, LogRecordKind.MemoryLost));
        }
        else if (Carries(kind))
        {
            var payload = record.Slice(LogFormat.HeaderBytes, LogFormat.PayloadBytes(record));
            _last[(shard, kind)] = new Carried(LogFormat.Term(record), LogFormat.Index(record), payload.ToArray());
        }
    }

    internal readonly record struct Carried(Term Term, LogIndex Index, byte[] Payload);
}

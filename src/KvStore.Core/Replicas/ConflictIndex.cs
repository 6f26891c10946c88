using KvStore.Core.Eventual;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Which keys of an open shard have more than one live value, as records of the view beside the data: put in the turn in which the data is put, so both are always sealed together and a restart finds them equal.
/// The cost of listing conflicts, and of sweeping them, so follows the conflicts and never the data.
/// </summary>
internal static class ConflictIndex
{
    /// <summary>One byte is enough for what people are told; above it the number reads as 255.</summary>
    private const int MostCounted = byte.MaxValue;

    private static readonly ReadOnlyMemory<byte>[] Counts = [.. Enumerable.Range(0, MostCounted + 1).Select(count => new ReadOnlyMemory<byte>([(byte)count]))];

    /// <summary>A record is about to change: call before it is put or removed.</summary>
    public static void Update(IReplicaStorage storage, in DottedChange change)
    {
        int now = change.Stored.SiblingCount;
        if (now > 1)
        {
            storage.Put(RecordSpace.Conflicts, change.Key.Span, RecordOf(now));
            return;
        }

        // The old record tells whether there is anything to remove. Where only the disk has it (in a replay), removing what may not be there is cheaper than asking.
        bool had = storage.Find(RecordSpace.Data, change.Key.Span, out ReadOnlyMemory<byte> record) switch
        {
            RecordLookup.Found => DottedObject.PeekSiblings(record) > 1,
            RecordLookup.Absent => false,
            _ => true,
        };
        if (had)
        {
            storage.Remove(RecordSpace.Conflicts, change.Key.Span);
        }
    }

    public static ReadOnlyMemory<byte> RecordOf(int siblings) => Counts[Math.Min(siblings, MostCounted)];

    /// <summary>How many values a record of the index stands for.</summary>
    public static int CountOf(ReadOnlySpan<byte> record) => record.Length == 1 ? record[0] : 2;
}

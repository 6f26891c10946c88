using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Strips records of contexts that the clock implies, and removes those that are nothing but deletes, a few per tick.</summary>
internal sealed class ContextStripper(DottedReplica dotted, DottedJournal journal, IReplicaStorage storage, RecordLoader loader)
{
    /// <summary>How many records one tick strips of contexts that the clock implies, or removes, because they are deletes; bounds what it loads from disk.</summary>
    private const int PerTick = 256;

    /// <summary>How many waiting keys one tick looks at for that: a comparison of two small vectors each.</summary>
    private const int LooksPerTick = 4_096;

    private bool _stopped;

    /// <summary>Nothing is changed any more, whatever still waits for the disk.</summary>
    public void Stop() => _stopped = true;

    public void OnTick()
    {
        foreach (Key key in dotted.TakeStrippable(LooksPerTick, PerTick))
        {
            Strip(key);
        }
    }

    private void Strip(Key key)
    {
        if (_stopped)
        {
            return;
        }

        if (!journal.TryFind(key.Span, out DottedObject stored))
        {
            loader.Load(RecordSpace.Data, key.Span, () => Strip(key));
            return;
        }

        DottedObject stripped = dotted.Strip(stored);
        if (stripped.IsVacant)
        {
            journal.Forget(key, stored);
        }
        else if (!ReferenceEquals(stripped, stored))
        {
            var record = new ArrayBufferWriter<byte>(128);
            stripped.Encode(record);
            storage.Put(RecordSpace.Data, key.Span, record.WrittenMemory);
        }
    }
}

using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Brings a set of records into memory before a step that needs all of them at one instant.</summary>
internal sealed class ResidentKeys(IReplicaStorage storage, RecordLoader loader)
{
    /// <summary>Runs <paramref name="then"/> in a turn in which every key is resident: at once, or after the disk has answered.</summary>
    public void Ensure(IReadOnlyCollection<Key> keys, Action then)
    {
        int missing = 0;
        foreach (Key key in keys)
        {
            if (storage.Find(RecordSpace.Data, key.Span, out _) == RecordLookup.NotResident)
            {
                missing++;
            }
        }

        if (missing == 0)
        {
            then();
            return;
        }

        void OnOne()
        {
            if (--missing == 0)
            {
                // Another record may have been evicted meanwhile: look again at all.
                Ensure(keys, then);
            }
        }

        foreach (Key key in keys)
        {
            if (storage.Find(RecordSpace.Data, key.Span, out _) == RecordLookup.NotResident)
            {
                loader.Load(RecordSpace.Data, key.Span, OnOne);
            }
        }
    }
}

using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Brings records of several keys into memory. In a small table the later ones may evict the first, so whoever asked looks again and takes what is there.</summary>
internal sealed class ResidentKeys(IReplicaStorage storage, RecordLoader loader)
{
    /// <summary>How many of the first keys are resident now.</summary>
    public int CountLeading(IReadOnlyList<Key> keys)
    {
        int resident = 0;
        while (resident < keys.Count && storage.Find(RecordSpace.Data, keys[resident].Span, out _) != RecordLookup.NotResident)
        {
            resident++;
        }

        return resident;
    }

    /// <summary>Loads them, at least one, the first one last; then runs <paramref name="then"/>.</summary>
    public void Load(IReadOnlyList<Key> keys, Action then)
    {
        int missing = keys.Count;
        for (int i = keys.Count - 1; i >= 0; i--)
        {
            loader.Load(RecordSpace.Data, keys[i].Span, () =>
            {
                if (--missing == 0)
                {
                    then();
                }
            });
        }
    }
}

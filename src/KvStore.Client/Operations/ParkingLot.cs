namespace KvStore.Client.Operations;

/// <summary>Operations that wait between two attempts. Whoever takes one out owns it.</summary>
internal sealed class ParkingLot
{
    private readonly Lock _gate = new();
    private readonly List<KvOperation> _parked = [];

    public void Park(KvOperation operation)
    {
        lock (_gate)
        {
            _parked.Add(operation);
        }
    }

    /// <summary>Takes those whose time to wake has come, or whose deadline has passed, or which were canceled.</summary>
    public void TakeDue(long nowMs, List<KvOperation> into)
    {
        lock (_gate)
        {
            TakeMatching(_parked, nowMs, false, into);
        }
    }

    public void TakeAll(List<KvOperation> into)
    {
        lock (_gate)
        {
            into.AddRange(_parked);
            _parked.Clear();
        }
    }

    internal static void TakeMatching(List<KvOperation> from, long nowMs, bool all, List<KvOperation> into)
    {
        int kept = 0;
        for (int i = 0; i < from.Count; i++)
        {
            KvOperation operation = from[i];
            if (all || nowMs >= operation.WakeAtMs || operation.IsOver(nowMs))
            {
                into.Add(operation);
            }
            else
            {
                from[kept++] = operation;
            }
        }

        from.RemoveRange(kept, from.Count - kept);
    }
}

namespace KvStore.Core.Replicas;

/// <summary>
/// Recent requests that this replica has coordinated in the open regime, in memory, so that a retry to the same replica mints no second dot. A retry that reaches another replica, or comes
/// after a restart, is a second write of the same value: blind, it supersedes the first where it has arrived, and becomes a sibling with an equal value where it has not.
/// </summary>
internal sealed class OpenRequests
{
    /// <summary>Requests remembered; the oldest are forgotten first.</summary>
    public const int Capacity = 8_192;

    private readonly Dictionary<(ulong Session, ulong Sequence), ulong> _operations = [];
    private readonly Queue<(ulong Session, ulong Sequence)> _order = new();

    /// <summary>Remembered writes whose deadline passed before enough replicas had confirmed them.</summary>
    private readonly HashSet<ulong> _unresolved = [];

    /// <summary>The write was answered "unknown": a retry must not claim more.</summary>
    public void NoteUnresolved(ulong pending)
    {
        if (_operations.ContainsValue(pending))
        {
            _unresolved.Add(pending);
        }
    }

    public bool IsUnresolved(ulong pending) => _unresolved.Contains(pending);

    public bool TryRepeat(in ClientOperation operation, out ulong pending)
    {
        pending = 0;
        return !operation.Request.IsNone && _operations.TryGetValue((operation.Request.Session, operation.Request.Sequence), out pending);
    }

    public void Remember(in ClientOperation operation, ulong pending)
    {
        if (operation.Request.IsNone)
        {
            return;
        }

        if (_order.Count == Capacity)
        {
            if (_operations.Remove(_order.Dequeue(), out ulong forgotten))
            {
                _unresolved.Remove(forgotten);
            }
        }

        (ulong, ulong) id = (operation.Request.Session, operation.Request.Sequence);
        _operations[id] = pending;
        _order.Enqueue(id);
    }
}

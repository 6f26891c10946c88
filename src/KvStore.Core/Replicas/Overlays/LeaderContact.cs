namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// Decides when a replica of an adaptive shard begins to serve provisionally, and when it stops. It begins when it has had no contact with a leader for so long; it stops when it leads with a quorum
/// itself, or when contact has lasted for a while without a break. Each time that contact is lost again soon after, that while doubles, so that a flapping link doesn't toss the replica to and fro.
/// Pure: time is an argument.
/// </summary>
internal sealed class LeaderContact(long provisionalAfterMs)
{
    private const int MostDoublings = 4;

    /// <summary>A longer silence than this breaks a contact, and a contact must last at least this long before the replica returns.</summary>
    private readonly long _gapMs = Math.Max(250, provisionalAfterMs / 4);
    private long _heardMs;
    private long _contactSinceMs;
    private long _leftMs = long.MinValue / 2;
    private int _doublings;

    public bool IsProvisional { get; private set; }

    /// <summary>How often it began.</summary>
    public long Episodes { get; private set; }

    /// <summary>For how long contact must last until the replica returns, at present.</summary>
    public long ReturnMs => _gapMs << _doublings;

    /// <summary>The replica has just started: it counts as heard.</summary>
    public void Start(long nowMs) => _heardMs = _contactSinceMs = nowMs;

    /// <param name="nowMs">Monotonic.</param>
    /// <param name="heardMs">When a leader was last heard, or a quorum answered this one.</param>
    /// <param name="leads">Whether this replica leads, with a quorum that answers.</param>
    /// <returns>Whether <see cref="IsProvisional"/> has changed.</returns>
    public bool Look(long nowMs, long heardMs, bool leads)
    {
        if (heardMs > _heardMs)
        {
            _contactSinceMs = heardMs - _heardMs > _gapMs ? heardMs : _contactSinceMs;
            _heardMs = heardMs;
        }

        if (!IsProvisional)
        {
            if (nowMs - _heardMs < provisionalAfterMs)
            {
                return false;
            }

            _doublings = nowMs - _leftMs < 10 * provisionalAfterMs ? Math.Min(_doublings + 1, MostDoublings) : 0;
            IsProvisional = true;
            Episodes++;
            return true;
        }

        bool returns = leads || (nowMs - _heardMs <= _gapMs && _heardMs - _contactSinceMs >= ReturnMs);
        if (returns)
        {
            IsProvisional = false;
            _leftMs = nowMs;
        }

        return returns;
    }
}

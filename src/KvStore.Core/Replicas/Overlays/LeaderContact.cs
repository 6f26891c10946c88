namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// Decides when a replica of an adaptive shard begins to serve provisionally, and when it stops. It begins when it has had no contact with a leader for so long; it stops when it leads with a quorum
/// itself, or when contact has lasted for a while without a break. Each time that contact is lost again soon after, that while doubles, so that a flapping link doesn't toss the replica to and fro.
/// Pure: time is an argument.
/// </summary>
internal sealed class LeaderContact(long provisionalAfterMs)
{
    private const int MostDoublings = 4;
    private const long LeastGapMs = 250;
    private const int GapsOfPatience = 4;

    private long _afterMs = provisionalAfterMs;
    private long _heardMs;
    private long _contactSinceMs;
    private long _leftMs = long.MinValue / 2;
    private int _doublings;

    /// <summary>After how long without contact the replica begins. An operator may change it at any time; an episode that has begun goes on.</summary>
    public long AfterMs
    {
        set => _afterMs = value;
    }

    public bool IsProvisional { get; private set; }

    /// <summary>How often it began.</summary>
    public long Episodes { get; private set; }

    /// <summary>For how long contact must last until the replica returns, at present.</summary>
    public long ReturnMs => GapMs << _doublings;

    /// <summary>A longer silence than this breaks a contact, and a contact must last at least this long before the replica returns.</summary>
    private long GapMs => Math.Max(LeastGapMs, _afterMs / GapsOfPatience);

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
            _contactSinceMs = heardMs - _heardMs > GapMs ? heardMs : _contactSinceMs;
            _heardMs = heardMs;
        }

        if (!IsProvisional)
        {
            if (nowMs - _heardMs < _afterMs)
            {
                return false;
            }

            _doublings = nowMs - _leftMs < 10 * _afterMs ? Math.Min(_doublings + 1, MostDoublings) : 0;
            IsProvisional = true;
            Episodes++;
            return true;
        }

        bool returns = leads || (nowMs - _heardMs <= GapMs && _heardMs - _contactSinceMs >= ReturnMs);
        if (returns)
        {
            IsProvisional = false;
            _leftMs = nowMs;
        }

        return returns;
    }
}

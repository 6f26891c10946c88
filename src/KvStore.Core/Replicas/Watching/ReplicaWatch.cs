using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

/// <summary>A page of what a replica holds, for a watch that begins with that.</summary>
/// <param name="Page">Records as they are stored.</param>
/// <param name="Holds">Changes with a lower number are in it.</param>
/// <param name="Epoch">In which it was read.</param>
/// <param name="IsOpen">The shard was open then.</param>
/// <param name="Since">Ordered: the entry with which the log began to write; zero: it always did.</param>
public readonly record struct WatchPage(ScanPage Page, long Holds, Epoch Epoch, bool IsOpen, LogIndex Since);

/// <summary>What watches need of a replica: its changes, whether it is fit to be watched, and pages of what it holds. On its loop, like everything of the replica.</summary>
public sealed class ReplicaWatch
{
    /// <summary>A follower that has heard no leader for so long may be cut off: a watch of it would be silent while the others go on.</summary>
    private const long LongestSilenceMs = 2_000;

    private readonly ReplicaParts _parts;
    private readonly ChangeFeed _feed;
    private ConsensusGroup? _group;
    private OpenPeriods? _periods;
    private long _heardMs;

    internal ReplicaWatch(in ReplicaParts parts, ChangeFeed feed)
    {
        _parts = parts;
        _feed = feed;
    }

    /// <summary>Whether there are changes to be taken.</summary>
    public bool HasChanges => _feed.HasChanges;

    /// <summary>Moves the changes since the last time into a list, in order.</summary>
    public void TakeChanges(List<ShardChange> into) => _feed.MoveTo(into);

    /// <summary>Asks for a change that says how far the log is applied.</summary>
    public void Mark() => _feed.Mark();

    /// <summary>
    /// Why this replica should not be watched at the moment; null: it should. An open shard serves whoever can be reached; one that the log writes only shows what it hears from a leader.
    /// </summary>
    public string? Unfit =>
        _group is null || _parts.View.IsReplacing ? "This replica is still reading its data."
        : _parts.Places.IsRemoved || !_parts.Places.IsMember ? "This replica is no member of its shard."
        : _group.Switch.IsLate ? "This replica is late for a change of the keyspace's mode, and waits for a snapshot."
        : _periods!.Engine is { IsRecovering: true } ? "This replica is still copying its data."
        : _parts.Regimes.IsOrdered && !HearsLeader ? "This replica hears no leader; it may be cut off."
        : null;

    /// <summary>A leader that was just elected or woken has no contact yet: it is given as much time as a follower.</summary>
    private bool HearsLeader
    {
        get
        {
            if (!_group!.IsLeader)
            {
                _heardMs = Math.Max(_heardMs, _group.LeaderContactMs);
            }
            else if (_group.Raft.IsQuiet || _group.Raft.HasQuorumContact)
            {
                _heardMs = _parts.Clock.NowMs;
            }

            return _parts.Clock.NowMs - _heardMs <= LongestSilenceMs;
        }
    }

    /// <summary>A version that covers the values of an object: all that a conditional write, or one in this context, needs.</summary>
    /// <param name="held">As stored.</param>
    /// <param name="isOrdered">The log writes.</param>
    /// <param name="since">The entry with which it began to; zero where the object was changed later.</param>
    public static ReadOnlyMemory<byte> VersionOf(DottedObject held, bool isOrdered, LogIndex since)
    {
        VersionVector seen = VersionVector.Empty;
        foreach (ref readonly DottedValue value in held.Values)
        {
            seen = seen.With(value.Dot);
        }

        return OpenReads.EncodeVersion(isOrdered ? held.Fill(seen).Fill(VersionVector.Of(Dot.OfLog(RecordVersions.VersionOf(held, since)))) : held.Fill(seen));
    }

    /// <summary>Reads a page of keys as they stand here, in order.</summary>
    public void Scan(ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after, int maxRecords, int maxBytes, Action<WatchPage> then)
    {
        long noted = _feed.Noted;
        ShardRegime regime = _parts.Regimes.Current;
        if (_periods?.Engine is { } engine)
        {
            engine.Journal.Scan(RecordSpace.Data, prefix, after, maxRecords, maxBytes, page => then(new WatchPage(page, noted, regime.Epoch, IsOpen: true, LogIndex.Zero)));
        }
        else
        {
            _parts.Loader.Scan(RecordSpace.Data, prefix, after, maxRecords, maxBytes, page => then(new WatchPage(page, noted, regime.Epoch, IsOpen: false, regime.Since)));
        }
    }

    internal void Begin(ConsensusGroup group, OpenPeriods periods)
    {
        _group = group;
        _periods = periods;
        _heardMs = _parts.Clock.NowMs;
        _feed.Reset(periods.Engine?.Clock);
    }

    internal void OnRegimeChanged(ShardRegime before) => _feed.OnRegimeChanged(before);

    /// <summary>The data has become another, without the changes in between.</summary>
    internal void OnViewReplaced() => _feed.Reset(_periods!.Engine?.Clock);

    internal void OnTurnEnds() => _feed.OnTurnEnds(_periods!.Engine?.Dotted);
}

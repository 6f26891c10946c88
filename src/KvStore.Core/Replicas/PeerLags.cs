using KvStore.Core.Consensus;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>How far one peer is behind what is durable here, as far as is known here.</summary>
/// <param name="Node">The peer.</param>
/// <param name="Missing">Dots of an open shard, or log entries of an ordered one (known to its leader only), that it lacks.</param>
/// <param name="ForMs">For how long it has lacked something, in milliseconds: something that was durable here so long ago is still not there.</param>
public readonly record struct PeerLag(NodeId Node, ulong Missing, uint ForMs);

/// <summary>
/// Measures for how long each peer has been behind: a mark is set on what is durable here, and replaced by a newer one when the peer has come that far. So under steady writes, where a peer always lacks the last few, the
/// time stays that of one message.
/// </summary>
internal sealed class PeerLags(ReplicaClock clock)
{
    /// <summary>Between two looks; the time is exact to that.</summary>
    private const int TicksBetweenLooks = 10;

    private readonly Dictionary<NodeId, (long SinceMs, ShardClock Clock)> _dots = [];
    private readonly Dictionary<NodeId, (long SinceMs, LogIndex Index)> _entries = [];
    private int _ticks;

    public bool IsDue => ++_ticks % TicksBetweenLooks == 0;

    public void Look(DottedReplica dotted, IReadOnlyList<NodeId> peers)
    {
        foreach (NodeId peer in peers)
        {
            ShardClock known = dotted.KnownOf(peer);
            if (known.Includes(dotted.DurableClock))
            {
                _dots.Remove(peer);
            }
            else if (!_dots.TryGetValue(peer, out (long SinceMs, ShardClock Clock) mark) || known.Includes(mark.Clock))
            {
                _dots[peer] = (clock.NowMs, dotted.DurableClock.Clone());
            }
        }
    }

    public void Look(RaftNode leader, ReplicaPlaces places)
    {
        foreach (ProgressStatus progress in leader.DescribeProgress())
        {
            NodeId peer = places.NodeOf(progress.Id);
            if (progress.Match >= leader.StableIndex)
            {
                _entries.Remove(peer);
            }
            else if (!_entries.TryGetValue(peer, out (long SinceMs, LogIndex Index) mark) || progress.Match >= mark.Index)
            {
                _entries[peer] = (clock.NowMs, leader.StableIndex);
            }
        }
    }

    public IReadOnlyList<PeerLag> Describe(DottedReplica dotted, IReadOnlyList<NodeId> peers) =>
    [
        .. peers.Select(peer => dotted.DurableClock.CountMissingFrom(dotted.KnownOf(peer)) is > 0 and var missing
            ? new PeerLag(peer, missing, Since(_dots.TryGetValue(peer, out (long SinceMs, ShardClock Clock) mark), mark.SinceMs))
            : new PeerLag(peer, 0, 0)),
    ];

    public IReadOnlyList<PeerLag> Describe(RaftNode raft, ReplicaPlaces places) =>
    [
        .. raft.DescribeProgress().Where(progress => progress.Id != raft.Self).Select(progress =>
        {
            NodeId peer = places.NodeOf(progress.Id);
            return progress.Match < raft.StableIndex
                ? new PeerLag(peer, raft.StableIndex.Value - progress.Match.Value, Since(_entries.TryGetValue(peer, out (long SinceMs, LogIndex Index) mark), mark.SinceMs))
                : new PeerLag(peer, 0, 0);
        }),
    ];

    private uint Since(bool marked, long sinceMs) => marked ? (uint)Math.Clamp(clock.NowMs - sinceMs, 0, uint.MaxValue) : 0;
}

using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Carries messages between replicas of a shard. Sending encodes at once into the outbound frame of the peer and returns; a message may be lost, duplicated or overtaken, and both
/// engines live with that. All calls come from the loop that owns the replica.
/// </summary>
public interface IPeerTransport
{
    void Send(ShardId shard, NodeId to, in RaftMessage message);

    /// <summary>Sends one encoded message of the dotted engine. The payload is copied.</summary>
    void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload);

    /// <summary>Sends one page of a snapshot, on the stream for bulk data. The page is copied or encoded at once.</summary>
    void Send(ShardId shard, NodeId to, in SnapshotPage page);
}

/// <summary>Numbers are part of the wire format. The payloads are written and read by Core/Eventual, because the same bytes go into the log.</summary>
public enum DottedMessageKind : byte
{
    None = 0,

    /// <summary>One write: key, filled object, minted dots, and whether an acknowledgement is wanted.</summary>
    Replicate = 1,

    /// <summary>The receiver holds these dots durably.</summary>
    ReplicateAcknowledged = 2,

    /// <summary>The sender's durable clock: what it surely has.</summary>
    ClockAdvertised = 3,

    /// <summary>The sender's clock, and the wish for a page of what it lacks.</summary>
    Pull = 4,

    /// <summary>Dots the asker lacked, their keys, and the filled objects of those keys.</summary>
    PullPage = 5,

    /// <summary>A quorum read of one key.</summary>
    ReadRequest = 6,

    /// <summary>The filled object that answers a quorum read.</summary>
    ReadResponse = 7,

    /// <summary>The wish for a page of a full copy, behind a key.</summary>
    FullCopyRequest = 8,

    /// <summary>A range of keys with their filled objects, and the clock they stand at.</summary>
    FullCopyPage = 9,

    /// <summary>What the sender's data comes to at its clock.</summary>
    Digests = 70,

    /// <summary>A message of a later open episode than the founding one: the episode, the kind, the message.</summary>
    EpisodeMessage = 10,

    /// <summary>The same for messages on the stream for bulk data.</summary>
    EpisodePage = 11,

    /// <summary>Closing: the leader wants to know what a replica has.</summary>
    ReportWanted = 12,

    /// <summary>Closing: what a replica has, and that it takes no more.</summary>
    CloseReport = 13,

    /// <summary>Closing: what every replica should come to.</summary>
    BaselineOffered = 14,

    /// <summary>Closing: the sender holds the baseline durably.</summary>
    BaselineHeld = 15,

    /// <summary>A replica that could not follow when its shard was ordered wants a snapshot, under its id.</summary>
    SnapshotWanted = 16,

    /// <summary>Overlay records for another replica without a leader, and whether an acknowledgement is wanted.</summary>
    OverlayShare = 20,

    /// <summary>The receiver holds them durably, or has no room.</summary>
    OverlayShared = 21,

    /// <summary>The dots that the sender has in its overlay or that its log accounts for: send what it lacks.</summary>
    OverlayKnown = 22,

    /// <summary>Overlay records for the leader, to be merged through the log.</summary>
    HandIn = 23,

    /// <summary>Up to where actors are done with, for the leader, to be accounted for through the log.</summary>
    HandInDone = 24,

    /// <summary>What has the receiver seen by now?</summary>
    ClockAsked = 30,

    /// <summary>All that the sender has seen, durable or not.</summary>
    ClockTold = 31,
}

/// <summary>One page of a shard's snapshot. Pages of one snapshot carry the same id and count up from 0.</summary>
public readonly record struct SnapshotPage
{
    public required ReplicaId From { get; init; }

    public required ReplicaId To { get; init; }

    public required Term Term { get; init; }

    /// <summary>Chosen by the sender, unique for each attempt.</summary>
    public required ulong SnapshotId { get; init; }

    public required int Number { get; init; }

    public required bool Last { get; init; }

    public required ViewPosition Position { get; init; }

    public required IReadOnlyList<ScannedRecord> Records { get; init; }
}

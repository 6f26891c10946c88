using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// What one replica of one shard asks of the disk: a share of the node-wide write-ahead log, and a view of keyed records that can be rebuilt from it.
/// Every method returns at once and does no I/O itself; what takes time is reported later through <see cref="ShardReplica"/>'s On... methods, on the same
/// loop that made the call. All calls come from the one loop that owns the replica.
/// </summary>
/// <remarks>
/// The view is durable only up to a sealed position. Everything put since the last seal and the position named by <see cref="Seal"/> form one unit: after a crash the view stands exactly
/// at some sealed position, never between two, and the log is replayed from there. So applied index, dedup table and data are durable together.
/// </remarks>
public interface IReplicaStorage
{
    /// <summary>
    /// Adds one record to the node-wide log, behind everything this replica appended before. The payload is copied. The record is durable once
    /// <see cref="ShardReplica.OnDurable"/> reports a position at or above the returned one.
    /// </summary>
    /// <param name="urgency">Whether somebody waits for the sync now, or it may ride with the next one (at most 10 ms later).</param>
    LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency);

    /// <summary>
    /// Looks a record up in memory. <see cref="RecordLookup.NotResident"/> means that only the disk knows: call <see cref="BeginLoad"/> and ask again when it reports.
    /// The memory behind <paramref name="record"/> is never written to again; it may be kept.
    /// </summary>
    RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record);

    /// <summary>
    /// Reads what <see cref="Find"/> is about to read, and forgets it: for several keys one after another, each step for all of them, so that the processor fetches their memory at the same time. In a large table nearly all of a
    /// lookup is waiting for memory (Chen, Ailamaki, Gibbons, Mowry: "Improving Hash Join Performance through Prefetching", ICDE 2004, group prefetching).
    /// </summary>
    /// <param name="keyHash"><see cref="KeyHash"/> of the key.</param>
    /// <returns>Nothing of meaning; to be used somehow, or a compiler may leave the reading out.</returns>
    int Warm(RecordSpace space, int keyHash, WarmStep step) => 0;

    /// <summary>Whether <see cref="Warm"/> is worth its time: many records are in memory.</summary>
    bool WarmPays => false;

    /// <summary>Fetches one record from the disk into memory; <see cref="ShardReplica.OnLoaded"/> is called with the tag when <see cref="Find"/> can tell.</summary>
    void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> key, ulong tag);

    /// <summary>Sets a record. Visible to <see cref="Find"/> at once. The key is copied; the record is kept as it is and must never be written to again.</summary>
    void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record);

    /// <summary>Removes a record; no trace of it stays behind.</summary>
    void Remove(RecordSpace space, ReadOnlySpan<byte> key);

    /// <summary>How many bytes were put or removed since the last seal. The replica seals when this passes its bound, or on a tick when it isn't zero.</summary>
    int UnsealedBytes { get; }

    /// <summary>Closes the current unit: everything put since the last seal, standing at <paramref name="position"/>.</summary>
    void Seal(in ViewPosition position);

    /// <summary>The newest position that would survive a power loss.</summary>
    ViewPosition DurablePosition { get; }

    /// <summary>Asks that what is sealed be made durable in the view soon, even if nothing else happens on this node; <see cref="DurablePosition"/> moves then.</summary>
    void RequestFlush();

    /// <summary>
    /// Reads records in key order from the view as it stands now (the caller has sealed first). The page comes through <see cref="ShardReplica.OnScanned"/>.
    /// </summary>
    void BeginScan(in ScanRequest request);

    /// <summary>
    /// Pins the view as it stands now for a snapshot that is read page by page with <see cref="ScanRequest.PinnedView"/> (the caller has sealed first).
    /// At most one view is pinned per replica; pinning again releases the older one.
    /// </summary>
    ulong PinView();

    void ReleaseView(ulong pinnedView);

    /// <summary>
    /// Starts to replace the whole view by a snapshot. The current view stays valid until <see cref="CommitInstall"/>; beginning again or a crash discards what was installed so far.
    /// </summary>
    void BeginInstall();

    /// <summary>Adds one record to the view being installed.</summary>
    void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record);

    /// <summary>
    /// Switches to the installed view, atomically, at <paramref name="position"/>. <see cref="ShardReplica.OnInstalled"/> is called when the switch is durable; until then
    /// the replica puts, seals and scans nothing.
    /// </summary>
    void CommitInstall(in ViewPosition position);

    /// <summary>
    /// The replica no longer needs log records of its own with an index at or below these: entries by <paramref name="entries"/>, dotted records by <paramref name="dotted"/>.
    /// Storage keeps the last record of every other kind by itself. Segments are dropped once no replica needs them.
    /// </summary>
    void ReleaseLog(LogIndex entries, ulong dotted);
}

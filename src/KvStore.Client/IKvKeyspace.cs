namespace KvStore.Client;

/// <summary>
/// The operations on one keyspace. Keys are 1 to 4,096 bytes, values at most 1,048,576.
/// <para>Outcomes are three-valued. Put and Delete return when the write is done, and throw a <see cref="KvException"/> when it was refused (not done) or when nobody knows
/// (<see cref="KvException.OutcomeUnknown"/>: it may have happened, or may yet happen). The Try methods answer the question "did it take?" with a value: Done, NotDone (the condition did not hold) or
/// Unknown; they throw only when the cluster refused to consider the write.</para>
/// <para>Every write carries a request id, and is retried by the client within its deadline with that same id, so that it takes effect at most once.</para>
/// <para>Canceling stops the waiting. A write that was already sent may still happen: after an <see cref="OperationCanceledException"/> the outcome of a write is unknown.</para>
/// <para>Memory handed in (byte[] or ReadOnlyMemory values and keys) must not change until the operation has completed.</para>
/// </summary>
public interface IKvKeyspace
{
    /// <summary>The name.</summary>
    string Name { get; }

    /// <summary>The value of a key, or null if it has none.</summary>
    /// <exception cref="KvException">The read could not be served at the level asked for, or not in time.</exception>
    ValueTask<KvEntry<T>?> GetAsync<T>(KvKey key, KvReadOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Sets a value, whatever was there.</summary>
    /// <returns>A result whose outcome is Done.</returns>
    /// <exception cref="KvException">Refused, or unknown (<see cref="KvException.OutcomeUnknown"/>).</exception>
    ValueTask<KvWriteResult> PutAsync<T>(KvKey key, T value, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Compare and set: sets the value only if the key's version is exactly the given one; with <see cref="KvVersion.Absent"/> only if the key has no value. cp and adaptive keyspaces only.</summary>
    /// <returns>Done; NotDone with <see cref="KvCode.ConditionFailed"/>; or Unknown.</returns>
    /// <exception cref="KvException">Refused for any other reason; it was not done.</exception>
    ValueTask<KvWriteResult> TryPutAsync<T>(KvKey key, T value, KvVersion ifVersion, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Sets the value in the place of what the given version saw, and of nothing else: concurrent values stay as siblings. ap keyspaces only.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The value.</param>
    /// <param name="context">What a read returned; <see cref="KvVersion.Absent"/>: nothing was seen.</param>
    /// <param name="options">Deadline and retries.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">Refused, or unknown.</exception>
    ValueTask<KvWriteResult> PutInContextAsync<T>(KvKey key, T value, KvVersion context, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Removes the value, whatever it is. Done also when there was none.</summary>
    /// <exception cref="KvException">Refused, or unknown.</exception>
    ValueTask<KvWriteResult> DeleteAsync(KvKey key, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Removes the value only if the key's version is exactly the given one. cp and adaptive keyspaces only.</summary>
    /// <returns>Done; NotDone with <see cref="KvCode.ConditionFailed"/>; or Unknown.</returns>
    /// <exception cref="KvException">Refused for any other reason; it was not done.</exception>
    ValueTask<KvWriteResult> TryDeleteAsync(KvKey key, KvVersion ifVersion, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Removes what the given version saw, and nothing else: concurrent values survive. ap keyspaces only.</summary>
    /// <exception cref="KvException">Refused, or unknown.</exception>
    ValueTask<KvWriteResult> DeleteInContextAsync(KvKey key, KvVersion context, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Adds to a counter, and returns what it is afterwards. A key without a value counts from zero. In a cp keyspace the answer is exact; in an ap keyspace it is the counter as the replica that answers knows it,
    /// and the counter is exact when all replicas have heard of each other. Reads see the counter as decimal text (read it as <see cref="long"/>).
    /// </summary>
    /// <param name="key">The counter.</param>
    /// <param name="by">What to add; may be negative.</param>
    /// <param name="options">Deadline and retries; and for how long a counter that this creates lives. One that exists keeps its time.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">Refused (<see cref="KvCode.WrongType"/>: the key holds a value that is no counter; <see cref="KvCode.InvalidArgument"/>: it would leave the range of 64 bits), or unknown.</exception>
    ValueTask<long> IncrementAsync(KvKey key, long by = 1, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Compares keys of one shard, and does one of two lists of operations on them: atomically, linearizably, and once, however often the client has to send it. Acknowledged when a majority has it, whatever the
    /// keyspace's replication is. cp keyspaces, and adaptive ones on the side with a majority.
    /// </summary>
    /// <param name="txn">What is compared and done; all keys in one shard (they share a "{tag}").</param>
    /// <param name="options">Deadline, retries and session. Times to live are stated with each put.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Done, with the branch that was carried out and what it read: that comparisons did not hold is a result. Or Unknown.</returns>
    /// <exception cref="KvException">Refused; it was not done. <see cref="KvCode.InvalidArgument"/>: the keys are in different shards. <see cref="KvCode.LevelNotOffered"/>: the keyspace is ap.</exception>
    /// <exception cref="ArgumentException">It is empty or too large.</exception>
    ValueTask<KvTxnResult> TransactAsync(KvTxn txn, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Sets a value in the place of all that a read saw: of the siblings, one of them or a new one. What was written since then stays beside it. The same as <see cref="PutInContextAsync"/> with the entry's version.
    /// </summary>
    /// <param name="seen">What a get returned. An entry of a scan does as well.</param>
    /// <param name="value">The value that remains.</param>
    /// <param name="options">Deadline and retries.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">Refused, or unknown.</exception>
    ValueTask<KvWriteResult> ResolveAsync<T>(KvEntry<T> seen, T value, KvWriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// The keys of a range that have more than one live value, in key order over all shards, as the replicas that are asked know them. The nodes keep a list of these keys: the cost follows the conflicts, not the data. A cp keyspace has
    /// none. In an adaptive keyspace they are what merges have left, and finding them reads all keys. In a last-writer-wins keyspace these are the keys whose losers are not dropped yet.
    /// </summary>
    /// <exception cref="KvException">A page could not be read.</exception>
    IAsyncEnumerable<KvConflict> ConflictsAsync(KvRange range, KvScanOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// The records of a range in key order (bytewise), merged across all shards, fetched page by page as the enumeration proceeds. Each page is consistent for its shard; the whole is not a snapshot.
    /// </summary>
    /// <exception cref="KvException">A page could not be read. What was enumerated before is valid; continue with <see cref="KvRange.Behind"/>.</exception>
    IAsyncEnumerable<KvEntry<T>> ScanAsync<T>(KvRange range, KvScanOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// The changes of a range as they happen, from now on or from where an earlier watch was. It goes on through the death of nodes, changes of the leader and of the keyspace's mode: the enumeration ends only when it is canceled,
    /// when a request can't be served at all, or after a <see cref="KvChangeKind.Ended"/>. What may be missing is told (<see cref="KvChangeKind.Gap"/>), never passed over.
    /// <para>cp and adaptive: what is committed, each change once and in order per key; what a minority took provisionally is told when it is merged. ap: what is durable on the replica that serves, concurrent values as such; after a
    /// resume at another node several changes of one key may be told as one. Between keys of different shards there is no order.</para>
    /// </summary>
    /// <param name="range">A prefix, or <see cref="KvRange.All"/>. Not part of one (<see cref="KvRange.Behind"/>).</param>
    /// <param name="options">How it begins, and what it tells.</param>
    /// <param name="cancellationToken">Ends the watch.</param>
    /// <example><code>
    /// await foreach (KvChange&lt;string&gt; change in orders.WatchAsync&lt;string&gt;(KvRange.Prefix("order/"), new KvWatchOptions { FromToken = saved }))
    /// {
    ///     if (change.Kind == KvChangeKind.Put) { Show(change.Key, change.Value!); }
    ///     saved = change.Token ?? saved;
    /// }
    /// </code></example>
    /// <exception cref="KvException">The watch could not begin in time, or makes no sense (<see cref="KvCode.InvalidArgument"/>).</exception>
    IAsyncEnumerable<KvChange<T>> WatchAsync<T>(KvRange range, KvWatchOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>The changes of one key; see <see cref="WatchAsync{T}(KvRange, KvWatchOptions?, CancellationToken)"/>.</summary>
    /// <exception cref="KvException">The watch could not begin in time, or makes no sense (<see cref="KvCode.InvalidArgument"/>).</exception>
    IAsyncEnumerable<KvChange<T>> WatchAsync<T>(KvKey key, KvWatchOptions? options = null, CancellationToken cancellationToken = default);
}

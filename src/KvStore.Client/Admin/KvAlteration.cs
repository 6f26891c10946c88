using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>What is to be altered of a keyspace. What is not set stays as it is.</summary>
public sealed record KvKeyspaceChange
{
    /// <summary>Who serves when the network breaks.</summary>
    public PartitionPolicy? Policy { get; init; }

    /// <summary>When a write is acknowledged.</summary>
    public Replication? Replication { get; init; }

    /// <summary>async and best-effort: bytes that a leader may have acknowledged and not yet committed, 1 to 32 MiB.</summary>
    public int? MaxLagBytes { get; init; }

    /// <summary>async and best-effort: how long the oldest of them may wait for its commit, 1 ms to 60 s.</summary>
    public TimeSpan? MaxLagTime { get; init; }

    /// <summary>adaptive: after how long without a leader a replica serves provisionally, 1 s to 1 h. Null: as it is, or 2 s for a keyspace that becomes adaptive.</summary>
    public TimeSpan? ProvisionalAfter { get; init; }
}

/// <summary>Waiting for the shards of a keyspace that was altered.</summary>
public static class KvAlterationExtensions
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// Waits until every shard of the keyspace works as it is set, and a moment longer for replicas that are about to hear of it. What is left in <see cref="ShardProgress.Unbound"/> then can't be reached: such a
    /// replica serves as it was set before until it hears, and what it takes meanwhile is merged when it comes back with its disk.
    /// </summary>
    /// <param name="admin">The cluster.</param>
    /// <param name="name">The keyspace.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="look">Is shown each progress that was read. Null: nobody looks.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The progress at the end of the waiting: look at <see cref="KeyspaceProgress.Done"/>.</returns>
    /// <exception cref="KvException">There is no such keyspace. Failures of the way there are waited out.</exception>
    public static async ValueTask<KeyspaceProgress> WaitForAlterationAsync(
        this IKvAdmin admin, string name, TimeSpan timeout, Action<KeyspaceProgress>? look = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(admin);
        const int LooksForTheLast = 10;
        long begin = TimeProvider.System.GetTimestamp();
        using PeriodicTimer timer = new(Pause);
        KeyspaceProgress? last = null;
        for (int looksWhenDone = 0; ;)
        {
            try
            {
                last = await admin.AlterProgressAsync(name, cancellationToken).ConfigureAwait(false);
                look?.Invoke(last);
            }
            catch (KvException failure) when (failure.Code is not KvCode.UnknownKeyspace && last is not null)
            {
                // A node that dies is no reason to stop looking.
            }

            bool all = last is { Done: true } && (last.Shards.All(shard => shard.Unbound.Count == 0) || ++looksWhenDone >= LooksForTheLast);
            if ((all || TimeProvider.System.GetElapsedTime(begin) >= timeout) && last is not null)
            {
                return last;
            }

            await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}

using System.Runtime.CompilerServices;
using Google.Protobuf;
using KvStore.Client.Operations;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>Turns calls into operations and answers into entries.</summary>
internal sealed class KeyspaceClient(string name, Dispatcher dispatcher, KvClientOptions options, KvKeyspaceOptions keyspaceOptions, WatchChannels watches) : IKvKeyspace
{
    public string Name { get; } = name;

    private IKvSerializer Serializer => options.Serializer;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<KvEntry<T>?> GetAsync<T>(KvKey key, KvReadOptions? options = null, CancellationToken cancellationToken = default)
    {
        (ReadLevel, uint) level = LevelOf(options?.Level ?? KvReadLevel.Default, options?.Session, options?.MaxStaleness);
        KvOperation operation = Rent(key, options?.Timeout, options?.RetryNoQuorumUntilDeadline, cancellationToken);
        operation.Wire.Kind = OperationKind.Get;
        operation.Session = options?.Session;
        (operation.Wire.Level, operation.Wire.MaxStalenessMs) = level;
        operation.Wire.RequireStrong = options?.RequireStrong ?? false;
        operation.Wire.ServeAtReplica = options?.ReadFrom == KvReadFrom.Nearest;
        operation.IsAnyReplicas = operation.Wire.Level is ReadLevel.Eventual or ReadLevel.Session or ReadLevel.Bounded;
        operation.MayBeHedged = operation.IsAnyReplicas && dispatcher.Hedging.IsEnabled;
        WireResult answer = await Read(operation).ConfigureAwait(false);
        return !answer.Found ? null
            : answer.Siblings is { Count: > 1 } && keyspaceOptions.Resolver is { } resolver ? await ResolvedAsync<T>(key, answer, resolver, options?.Session, cancellationToken).ConfigureAwait(false)
            : Entry<T>(key, answer, answer.Value);
    }

    public ValueTask<KvWriteResult> PutAsync<T>(KvKey key, T value, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        Put(key, value, WriteCondition.Unspecified, default, options, cancellationToken);

    public ValueTask<KvWriteResult> TryPutAsync<T>(KvKey key, T value, KvVersion ifVersion, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        Put(key, value, ifVersion.IsAbsent ? WriteCondition.IfAbsent : WriteCondition.IfVersion, ifVersion, options, cancellationToken);

    public ValueTask<KvWriteResult> PutInContextAsync<T>(KvKey key, T value, KvVersion context, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        Put(key, value, WriteCondition.InContext, context, options, cancellationToken);

    public ValueTask<KvWriteResult> DeleteAsync(KvKey key, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        Delete(key, WriteCondition.Unspecified, default, options, cancellationToken);

    public ValueTask<KvWriteResult> TryDeleteAsync(KvKey key, KvVersion ifVersion, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        Delete(key, ifVersion.IsAbsent ? WriteCondition.IfAbsent : WriteCondition.IfVersion, ifVersion, options, cancellationToken);

    public ValueTask<KvWriteResult> DeleteInContextAsync(KvKey key, KvVersion context, KvWriteOptions? options = null, CancellationToken cancellationToken = default) =>
        Delete(key, WriteCondition.InContext, context, options, cancellationToken);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<long> IncrementAsync(KvKey key, long by = 1, KvWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        ulong ttlMs = TtlOf(options);
        KvOperation operation = Rent(key, options?.Timeout, options?.RetryNoQuorumUntilDeadline, cancellationToken);
        operation.Session = options?.Session;
        operation.Wire.Kind = OperationKind.Increment;
        operation.Wire.Delta = by;
        operation.Wire.TtlMs = ttlMs;
        return (await Read(operation).ConfigureAwait(false)).Counter;
    }

    public async ValueTask<KvTxnResult> TransactAsync(KvTxn txn, KvWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(txn);
        if (options?.Ttl is not null)
        {
            throw new ArgumentException("Each put of a transaction states its own time to live.", nameof(options));
        }

        Transaction message = txn.ToMessage(Serializer);
        KvOperation operation = Rent(KvTxn.FirstKeyOf(message), options?.Timeout, options?.RetryNoQuorumUntilDeadline, cancellationToken);
        operation.Session = options?.Session;
        operation.Wire.Kind = OperationKind.Transaction;
        operation.Wire.Transaction = message.ToByteArray();
        operation.IsConditional = true;
        return KvTxnResult.Of(message, await Read(operation).ConfigureAwait(false), Serializer);
    }

    public async IAsyncEnumerable<KvEntry<T>> ScanAsync<T>(KvRange range, KvScanOptions? options = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (ScanRecord record in Scan(range, options, onlyConflicts: false, cancellationToken).ConfigureAwait(false))
        {
            yield return new KvEntry<T>
            {
                Key = KvKey.Received(record.Item.Key),
                Value = Deserialize<T>(record.Item.Value),
                Version = KvVersion.Received(record.Item.Version),
                SiblingCount = (int)Math.Max(1, record.Item.SiblingCount),
                Regime = (KvRegime)record.Page.Regime,
                Staleness = TimeSpan.FromMilliseconds(record.Page.StalenessMs),
                Epoch = record.Page.Epoch,
                Acknowledgements = (int)record.Page.Acknowledgements,
                Degraded = record.Page.Degraded,
                Node = record.Page.Node,
                ExpiresIn = ExpiresIn(record.Item.ExpiresInMs),
            };
        }
    }

    public ValueTask<KvWriteResult> ResolveAsync<T>(KvEntry<T> seen, T value, KvWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(seen);
        return PutInContextAsync(seen.Key, value, seen.Version, options, cancellationToken);
    }

    public async IAsyncEnumerable<KvConflict> ConflictsAsync(KvRange range, KvScanOptions? options = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (ScanRecord record in Scan(range, options, onlyConflicts: true, cancellationToken).ConfigureAwait(false))
        {
            yield return new KvConflict(KvKey.Received(record.Item.Key), (int)record.Item.SiblingCount);
        }
    }

    public IAsyncEnumerable<KvChange<T>> WatchAsync<T>(KvRange range, KvWatchOptions? options = null, CancellationToken cancellationToken = default) =>
        range.After.IsEmpty
            ? Watch<T>(null, range.StartsWith, options, cancellationToken)
            : throw new ArgumentException("A watch is of all keys with a prefix: this range leaves some of them out.", nameof(range));

    public IAsyncEnumerable<KvChange<T>> WatchAsync<T>(KvKey key, KvWatchOptions? options = null, CancellationToken cancellationToken = default) =>
        key.Bytes.IsEmpty ? throw new ArgumentException($"A key is 1 to {KvLimits.MaxKeyBytes} bytes; this one is empty.", nameof(key)) : Watch<T>(key, default, options, cancellationToken);

    private IAsyncEnumerable<KvChange<T>> Watch<T>(KvKey? key, ReadOnlyMemory<byte> prefix, KvWatchOptions? watchOptions, CancellationToken cancellationToken)
    {
        watchOptions ??= new KvWatchOptions();
        var watch = new KeyspaceWatch(Name, key, prefix, watchOptions, options, dispatcher, watches);
        return Watch<T>(watch, watchOptions, cancellationToken);
    }

    private async IAsyncEnumerable<KvChange<T>> Watch<T>(KeyspaceWatch watch, KvWatchOptions watchOptions, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await ShardCountAsync(watchOptions.Timeout, cancellationToken).ConfigureAwait(false);
        WatchTelemetry.OnBegun(Name);
        try
        {
            await foreach ((WatchEvent told, uint node, WatchMark? mark) in watch.EventsAsync(dispatcher.Map!.Find(Name)!, cancellationToken).ConfigureAwait(false))
            {
                yield return Change<T>(told, node, mark);
            }
        }
        finally
        {
            WatchTelemetry.OnEnded(Name);
        }
    }

    private KvChange<T> Change<T>(WatchEvent told, uint node, WatchMark? mark)
    {
        bool hasValue = told.Kind is WatchEventKind.Put or WatchEventKind.Current;
        return new KvChange<T>(mark)
        {
            Kind = Enum.IsDefined((KvChangeKind)told.Kind) ? (KvChangeKind)told.Kind : KvChangeKind.None,
            Key = told.Key.IsEmpty ? default : KvKey.Received(told.Key.Memory),
            Value = hasValue ? Deserialize<T>(told.Value.Memory) : default,
            Version = KvVersion.Received(told.Version.Memory),
            Siblings = told.Siblings.Count == 0
                ? []
                : [.. told.Siblings.Select(sibling => new KvSibling<T>(Deserialize<T>(sibling.Value.Memory), DateTimeOffset.FromUnixTimeMilliseconds((long)sibling.TimestampMs), $"{sibling.Writer:x16}/{sibling.Write}"))],
            Timestamp = hasValue ? DateTimeOffset.FromUnixTimeMilliseconds((long)told.TimestampMs) : null,
            ExpiresIn = ExpiresIn(told.ExpiresInMs),
            Regime = (KvRegime)told.Regime,
            Epoch = told.Epoch,
            Shard = (int)told.Shard,
            Node = node,
            Reason = told.Reason,
        };
    }

    private ValueTask<KvWriteResult> Put<T>(
        KvKey key, T value, WriteCondition condition, KvVersion version, KvWriteOptions? writeOptions, CancellationToken cancellationToken) =>
        PutBytes(key, options.Serializer.Serialize(value), condition, version, writeOptions, cancellationToken);

    private ValueTask<KvWriteResult> PutBytes(
        KvKey key, ReadOnlyMemory<byte> bytes, WriteCondition condition, KvVersion version, KvWriteOptions? writeOptions, CancellationToken cancellationToken)
    {
        if (bytes.Length > KvLimits.MaxValueBytes)
        {
            throw new ArgumentException($"A value has at most {KvLimits.MaxValueBytes} bytes; this one has {bytes.Length}.", nameof(bytes));
        }

        ulong ttlMs = TtlOf(writeOptions);
        KvOperation operation = Rent(key, writeOptions?.Timeout, writeOptions?.RetryNoQuorumUntilDeadline, cancellationToken);
        operation.Wire.Kind = OperationKind.Put;
        operation.Session = writeOptions?.Session;
        operation.Wire.Value = bytes;
        operation.Wire.RequireStrong = writeOptions?.RequireStrong ?? false;
        operation.Wire.TtlMs = ttlMs;
        return Write(operation, condition, version);
    }

    private ValueTask<KvWriteResult> Delete(KvKey key, WriteCondition condition, KvVersion version, KvWriteOptions? writeOptions, CancellationToken cancellationToken)
    {
        KvOperation operation = Rent(key, writeOptions?.Timeout, writeOptions?.RetryNoQuorumUntilDeadline, cancellationToken);
        operation.Wire.Kind = OperationKind.Delete;
        operation.Wire.RequireStrong = writeOptions?.RequireStrong ?? false;
        operation.Session = writeOptions?.Session;
        return Write(operation, condition, version);
    }

    private ValueTask<KvWriteResult> Write(KvOperation operation, WriteCondition condition, KvVersion version)
    {
        operation.Wire.Condition = condition;
        operation.Wire.Version = version.Bytes;
        operation.IsConditional = condition is WriteCondition.IfAbsent or WriteCondition.IfVersion;
        ValueTask<KvWriteResult> outcome = new(operation, operation.Version);
        dispatcher.Start(operation);
        return outcome;
    }

    private ValueTask<WireResult> Read(KvOperation operation)
    {
        ValueTask<WireResult> outcome = new(operation, operation.Version);
        dispatcher.Start(operation);
        return outcome;
    }

    private KvOperation Rent(KvKey key, TimeSpan? timeout, bool? retryNoQuorum, CancellationToken cancellationToken)
    {
        if (key.Bytes.IsEmpty)
        {
            throw new ArgumentException($"A key is 1 to {KvLimits.MaxKeyBytes} bytes; this one is empty.", nameof(key));
        }

        KvOperation operation = RentUnkeyed(timeout, retryNoQuorum, cancellationToken);
        operation.Wire.Key = key.Bytes;
        return operation;
    }

    private KvOperation RentUnkeyed(TimeSpan? timeout, bool? retryNoQuorum, CancellationToken cancellationToken)
    {
        TimeSpan limit = timeout ?? options.DefaultTimeout;
        if (limit <= TimeSpan.Zero || limit.TotalMilliseconds > KvLimits.MaxTimeoutMs)
        {
            throw new ArgumentOutOfRangeException(nameof(timeout), limit, "A timeout is more than zero and at most 10 minutes.");
        }

        KvOperation operation = dispatcher.Pool.Rent();
        operation.Keyspace = Name;
        operation.Token = cancellationToken;
        operation.RetryNoQuorumUntilDeadline = retryNoQuorum ?? options.RetryNoQuorumUntilDeadline;
        operation.StartedMs = dispatcher.Clock.NowMs;
        operation.DeadlineMs = operation.StartedMs + Math.Max(1, (long)limit.TotalMilliseconds);
        return operation;
    }

    private async IAsyncEnumerable<ScanRecord> Scan(KvRange range, KvScanOptions? options, bool onlyConflicts, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        int pageSize = options?.PageSize ?? KvLimits.DefaultScanRecords;
        if (pageSize is < 1 or > KvLimits.MaxScanRecords)
        {
            throw new ArgumentOutOfRangeException(nameof(options), pageSize, $"A page has 1 to {KvLimits.MaxScanRecords} records.");
        }

        int shards = await ShardCountAsync(options?.Timeout, cancellationToken).ConfigureAwait(false);
        ScanMerge merge = new(range, shards, (shard, after) => PageAsync(range, shard, after, pageSize, options, onlyConflicts, cancellationToken));
        await foreach (ScanRecord record in merge.ConfigureAwait(false))
        {
            yield return record;
        }
    }

    private ValueTask<WireResult> PageAsync(
        KvRange range, int shard, ReadOnlyMemory<byte> after, int pageSize, KvScanOptions? scanOptions, bool onlyConflicts, CancellationToken cancellationToken)
    {
        (ReadLevel, uint) level = LevelOf(scanOptions?.Level ?? KvReadLevel.Default, scanOptions?.Session, scanOptions?.MaxStaleness);
        KvOperation operation = RentUnkeyed(scanOptions?.Timeout, null, cancellationToken);
        operation.Wire.Kind = OperationKind.Scan;
        operation.Wire.Key = range.StartsWith;
        operation.Wire.After = after;
        operation.Wire.Shard = (uint)shard;
        operation.Wire.Limit = (uint)pageSize;
        operation.Session = scanOptions?.Session;
        (operation.Wire.Level, operation.Wire.MaxStalenessMs) = level;
        operation.Wire.OnlyConflicts = onlyConflicts;
        return Read(operation);
    }

    /// <summary>The level on the wire, and the bound of a bounded read.</summary>
    private static (ReadLevel Level, uint MaxStalenessMs) LevelOf(KvReadLevel stated, KvSession? session, TimeSpan? maxStaleness)
    {
        KvReadLevel level = stated != KvReadLevel.Default ? stated
            : maxStaleness is not null ? KvReadLevel.Bounded
            : session is not null ? KvReadLevel.Session
            : KvReadLevel.Default;
        if (level == KvReadLevel.Session && session is null)
        {
            throw new ArgumentException("A read with level session names its session: options.Session = client.CreateSession().", nameof(session));
        }

        if (level != KvReadLevel.Bounded)
        {
            return maxStaleness is null ? ((ReadLevel)level, 0u) : throw new ArgumentException($"MaxStaleness is for reads with level bounded; this one has level {level}.", nameof(maxStaleness));
        }

        double boundMs = maxStaleness?.TotalMilliseconds ?? 0;
        return boundMs is >= 1 and <= KvLimits.MaxStalenessMs
            ? (ReadLevel.Bounded, (uint)boundMs)
            : throw new ArgumentOutOfRangeException(nameof(maxStaleness), maxStaleness, "A read with level bounded states its MaxStaleness: 1 ms to 10 minutes.");
    }

    /// <summary>How many shards the keyspace has. If it is not known yet, reading any key waits until it is, or says why it can't be.</summary>
    private async ValueTask<int> ShardCountAsync(TimeSpan? timeout, CancellationToken cancellationToken)
    {
        if (dispatcher.Map?.Find(Name) is null)
        {
            KvOperation probe = Rent("?", timeout, null, cancellationToken);
            probe.Wire.Kind = OperationKind.Get;
            probe.Wire.Level = ReadLevel.Eventual;
            await Read(probe).ConfigureAwait(false);
        }

        return dispatcher.Map!.Find(Name)!.Shards.Length;
    }

    /// <summary>The resolver's value in the place of the winner; written back if asked for. A write-back that fails spoils no read.</summary>
    private async ValueTask<KvEntry<T>> ResolvedAsync<T>(KvKey key, WireResult answer, KvResolver resolver, KvSession? session, CancellationToken cancellationToken)
    {
        ReadOnlyMemory<byte> resolved = resolver.Resolve(key, answer.Siblings!, options.Serializer);
        KvEntry<T> entry = Entry<T>(key, answer, resolved) with { Resolved = true };
        if (!keyspaceOptions.WriteBackResolved)
        {
            return entry;
        }

        try
        {
            KvWriteResult written = await PutBytes(key, resolved, WriteCondition.InContext, entry.Version, session is null ? null : new KvWriteOptions { Session = session }, cancellationToken).ConfigureAwait(false);
            return entry with { WrittenBack = written, Version = written.Version };
        }
        catch (KvException)
        {
            return entry;
        }
    }

    private KvEntry<T> Entry<T>(KvKey key, in WireResult answer, ReadOnlyMemory<byte> value)
    {
        List<KvSibling<T>>? siblings = null;
        foreach (WireSibling sibling in answer.Siblings ?? [])
        {
            (siblings ??= []).Add(KvResolver.Read<T>(sibling, options.Serializer));
        }

        return new KvEntry<T>
        {
            Key = key,
            Value = Deserialize<T>(value),
            Version = KvVersion.Received(answer.Version),
            HiddenLosers = (int)answer.HiddenLosers,
            SiblingCount = Math.Max(1, siblings?.Count ?? 1),
            Siblings = (IReadOnlyList<KvSibling<T>>?)siblings ?? [],
            Regime = (KvRegime)answer.Regime,
            Staleness = TimeSpan.FromMilliseconds(answer.StalenessMs),
            Epoch = answer.Epoch,
            Acknowledgements = (int)answer.Acknowledgements,
            Degraded = answer.Degraded,
            Node = answer.Node,
            ExpiresIn = ExpiresIn(answer.ExpiresInMs),
        };
    }

    /// <summary>How long a value has to live, as it stands in an answer.</summary>
    internal static TimeSpan? ExpiresIn(ulong expiresInMs) => expiresInMs == 0 ? null : TimeSpan.FromMilliseconds(Math.Min(expiresInMs, KvLimits.MaxTtlMs));

    private static ulong TtlOf(KvWriteOptions? writeOptions) => TtlMs(writeOptions?.Ttl, nameof(writeOptions));

    /// <summary>A time to live, as it stands in a request.</summary>
    internal static ulong TtlMs(TimeSpan? stated, string argument) => stated switch
    {
        null => 0,
        { } ttl when ttl == Timeout.InfiniteTimeSpan => KvLimits.NoExpiry,
        { } ttl when ttl.TotalMilliseconds >= 1 && ttl.TotalMilliseconds <= KvLimits.MaxTtlMs => (ulong)ttl.TotalMilliseconds,
        { } ttl => throw new ArgumentOutOfRangeException(argument, ttl, "A time to live is 1 ms to 10 years, or Timeout.InfiniteTimeSpan for none."),
    };

    private T Deserialize<T>(ReadOnlyMemory<byte> bytes) => options.Serializer.Deserialize<T>(bytes);
}

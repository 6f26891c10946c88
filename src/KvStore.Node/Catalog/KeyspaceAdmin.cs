using System.Collections.Immutable;
using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Placement;
using KvStore.Core.Policy;
using KvStore.Node.Clients;
using ReadLevel = KvStore.Contracts.V1.ReadLevel;
using WriteCondition = KvStore.Contracts.V1.WriteCondition;

namespace KvStore.Node.Catalog;

/// <summary>
/// Changes the catalog: read it linearizably, compute the next one, compare-and-set it; begin again if somebody else was faster. Works from any node, since operations on the system shard are
/// forwarded like any other.
/// </summary>
internal sealed class KeyspaceAdmin(OperationExecutor executor, TopologyFeed topology, CatalogSpread spread, ClusterCatalog initial, ILogger<KeyspaceAdmin> log)
{
    private const int MaxAttempts = 16;

    private static readonly ReadOnlyMemory<byte> RecordKey = ClusterCatalog.RecordKey.ToArray();

    public async Task<CatalogKeyspace> CreateAsync(CreateKeyspaceRequest request, CancellationToken cancellation)
    {
        KeyspaceMode mode = Check(request);
        for (int attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            (ClusterCatalog catalog, ByteString version) = await ReadAsync(cancellation);
            if (catalog.Keyspaces.FirstOrDefault(keyspace => keyspace.Name == request.Name) is { } existing)
            {
                await spread.WaitAsync(catalog.Revision, cancellation);
                return SameSettings(existing, mode, request)
                    ? existing
                    : throw Refused(StatusCode.AlreadyExists, $"The keyspace '{request.Name}' exists with other settings ({existing.Mode}, {existing.Shards.Length} shards); choose another name.");
            }

            CatalogKeyspace created = Place(request, mode, catalog);
            ClusterCatalog next = catalog with
            {
                Revision = catalog.Revision + 1,
                Keyspaces = catalog.Keyspaces.Add(created),
                NextKeyspaceId = catalog.NextKeyspaceId + 1,
                NextReplicaId = catalog.NextReplicaId + (ulong)created.Shards.Sum(shard => shard.Length),
            };
            if (await TryWriteAsync(next, version, cancellation))
            {
                CatalogLog.KeyspaceCreated(log, created.Name, mode.ToString(), created.Shards.Length, created.Shards[0].Length);
                await spread.WaitAsync(next.Revision, cancellation);
                return created;
            }
        }

        throw Refused(StatusCode.Aborted, "The catalog kept changing meanwhile; try again.");
    }

    /// <summary>Puts another node in the place of one whose data is lost.</summary>
    /// <param name="wanted">The generation to make. Nothing is done if it is there already.</param>
    /// <returns>The generation that the new one must be started with, and how many shards get a new replica there.</returns>
    public async Task<(uint Generation, int Shards)> ReplaceNodeAsync(NodeId node, uint wanted, CancellationToken cancellation)
    {
        for (int attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            (ClusterCatalog catalog, ByteString version) = await ReadAsync(cancellation);
            CatalogMember? member = catalog.Members.FirstOrDefault(each => each.Node == node);
            if (member is null)
            {
                throw Refused(StatusCode.NotFound, $"Node {node.Value} is no member of this cluster; members are {string.Join(", ", catalog.Members.Select(each => each.Node.Value))}.");
            }

            if (member.Generation == wanted && wanted > 0)
            {
                return (wanted, catalog.Keyspaces.Sum(keyspace => keyspace.Shards.Count(shard => shard.Any(replica => replica.Node == node))));
            }

            if (wanted != member.Generation + 1 || wanted > ushort.MaxValue)
            {
                throw Refused(StatusCode.InvalidArgument, $"Node {node.Value} is at generation {member.Generation} of at most {ushort.MaxValue}: the next one is {member.Generation + 1}, not {wanted}.");
            }

            ClusterCatalog next = catalog.WithReplaced(node, out int shards);
            if (await TryWriteAsync(next, version, cancellation))
            {
                CatalogLog.NodeReplaced(log, node, wanted, shards);
                await topology.WaitForRevisionAsync(next.Revision, cancellation);
                return (wanted, shards);
            }
        }

        throw Refused(StatusCode.Aborted, "The catalog kept changing meanwhile; try again.");
    }

    private static KeyspaceMode Check(CreateKeyspaceRequest request)
    {
        if (!IsName(request.Name))
        {
            throw Refused(
                StatusCode.InvalidArgument,
                $"A keyspace name has 1 to {KvLimits.MaxKeyspaceNameLength} characters of a-z, 0-9, '-', '_' and '.', and begins with a letter.");
        }

        if (request.Shards > KvLimits.MaxShards)
        {
            throw Refused(StatusCode.InvalidArgument, $"A keyspace has 1 to {KvLimits.MaxShards} shards; {request.Shards} were asked for.");
        }

        var mode = new KeyspaceMode((PartitionChoice)request.Policy, (Core.Policy.Replication)request.Replication);
        CheckMode(mode);

        if (CatalogCodec.FromWire(request.MaxLag).Fault is { } fault)
        {
            throw Refused(StatusCode.InvalidArgument, fault);
        }

        int shards = request.Shards == 0 ? KvLimits.DefaultShards : (int)request.Shards;
        if (MemoryBound.FaultOf(CatalogCodec.FromWire(request.Durability), CatalogCodec.MemoryBytesOf(request), shards, mode.Partition) is { } memoryFault)
        {
            throw Refused(StatusCode.InvalidArgument, memoryFault);
        }

        CheckProvisionalAfter(request.ProvisionalAfterMs, mode);
        if (request.DefaultTtlMs > KvLimits.MaxTtlMs)
        {
            throw Refused(StatusCode.InvalidArgument, $"The default time to live of {request.DefaultTtlMs} ms is out of bounds: give 1 to {KvLimits.MaxTtlMs} ms (10 years), or none.");
        }

        if (!Offers(mode.Partition, request.DefaultReadLevel))
        {
            throw Refused(
                StatusCode.InvalidArgument,
                mode.Partition == PartitionChoice.Ap
                    ? "The default read level of an ap keyspace is eventual, session or quorum."
                    : "The default read level of a cp keyspace is linearizable, session or eventual.");
        }

        ConflictRule conflicts = CatalogCodec.FromWire(request.Conflicts);
        if (!Enum.IsDefined(conflicts) || ConflictRules.FaultOf(conflicts, mode.Partition) is not null)
        {
            throw Refused(StatusCode.InvalidArgument, ConflictRules.FaultOf(conflicts, mode.Partition) ?? "The rule for conflicts is not known to this node: choose siblings or last-writer-wins.");
        }

        return mode;
    }

    /// <summary>For keyspaces that are created and for such that are altered.</summary>
    /// <exception cref="RpcException">The settings are unknown or contradictory.</exception>
    internal static void CheckMode(KeyspaceMode mode)
    {
        if (!Enum.IsDefined(mode.Partition) || !Enum.IsDefined(mode.Replication) || mode.Contradiction is not null)
        {
            throw Refused(StatusCode.InvalidArgument, mode.Contradiction ?? "The policy or replication is not known to this node: choose cp, ap or adaptive, and sync, async or best-effort.");
        }
    }

    /// <summary>For keyspaces that are created and for such that are altered.</summary>
    /// <exception cref="RpcException">It is out of bounds, or the mode has no use for it.</exception>
    internal static void CheckProvisionalAfter(uint ms, KeyspaceMode mode)
    {
        if (ms != 0 && mode.Partition != PartitionChoice.Adaptive)
        {
            throw Refused(StatusCode.InvalidArgument, "Only an adaptive keyspace serves provisionally: leave provisional-after out, or choose adaptive.");
        }

        if (CatalogCodec.ProvisionalAfterOf(ms).Fault is { } fault)
        {
            throw Refused(StatusCode.InvalidArgument, fault);
        }
    }

    /// <summary>Whether reads that state no level may have this one. Bounded needs a bound with each read.</summary>
    private static bool Offers(PartitionChoice partition, ReadLevel level) => level switch
    {
        ReadLevel.Unspecified or ReadLevel.Eventual or ReadLevel.Session => true,
        ReadLevel.Linearizable => partition != PartitionChoice.Ap,
        ReadLevel.Quorum => partition == PartitionChoice.Ap,
        _ => false,
    };

    private static bool IsName(string name) => name.Length is > 0 and <= KvLimits.MaxKeyspaceNameLength
        && name[0] is >= 'a' and <= 'z'
        && name.All(c => c is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-' or '_' or '.');

    private static bool SameSettings(CatalogKeyspace existing, KeyspaceMode mode, CreateKeyspaceRequest request) =>
        existing.Mode == mode
        && existing.Conflicts == CatalogCodec.FromWire(request.Conflicts)
        && existing.MemoryBytes == CatalogCodec.MemoryBytesOf(request)
        && (request.MaxLag is null || CatalogCodec.FromWire(request.MaxLag) == existing.MaxLag)
        && (request.ProvisionalAfterMs == 0 || CatalogCodec.ProvisionalAfterOf(request.ProvisionalAfterMs) == existing.ProvisionalAfter)
        && request.DefaultTtlMs == existing.DefaultTtlMs
        && (request.DefaultReadLevel == ReadLevel.Unspecified || (Core.Replicas.ReadLevel)request.DefaultReadLevel == existing.DefaultReadLevel)
        && (request.Shards == 0 || request.Shards == existing.Shards.Length)
        && (request.Replicas == 0 || request.Replicas == existing.WantedReplicas || request.Replicas == existing.Founders[0].Length);

    private static CatalogKeyspace Place(CreateKeyspaceRequest request, KeyspaceMode mode, ClusterCatalog catalog)
    {
        const int DefaultReplicas = 3;
        int shards = request.Shards == 0 ? KvLimits.DefaultShards : (int)request.Shards;

        // Who is on its way in may not run yet; the keyspace's shards are among those of which it then gets its share.
        WeightedNode[] nodes = [.. catalog.Members.Where(member => member is { State: MemberState.Settled, Weight: > 0 }).Select(member => new WeightedNode(member.Node, member.Weight))];
        int replicas = request.Replicas == 0 ? Math.Min(DefaultReplicas, nodes.Length) : (int)Math.Min(request.Replicas, int.MaxValue);
        if (replicas > nodes.Length || replicas > KvLimits.MaxReplicas || replicas == 0)
        {
            throw Refused(
                StatusCode.InvalidArgument,
                $"{replicas} replicas were asked for; this cluster has {nodes.Length} members that take new shards (those that join, leave or have weight 0 don't), and at most {KvLimits.MaxReplicas} replicas are allowed.");
        }

        ulong nextReplica = catalog.NextReplicaId;
        var placed = ImmutableArray.CreateBuilder<ImmutableArray<CatalogReplica>>(shards);
        for (int number = 0; number < shards; number++)
        {
            placed.Add([.. RendezvousPlacement.Place(new ShardId(catalog.NextKeyspaceId, number), nodes, replicas).Select(node => new CatalogReplica(node, new ReplicaId(nextReplica++)))]);
        }

        return new CatalogKeyspace(catalog.NextKeyspaceId, request.Name, mode, new Epoch(1), placed.MoveToImmutable())
        {
            WantedReplicas = request.Replicas == 0 ? DefaultReplicas : replicas,
            MaxLag = CatalogCodec.FromWire(request.MaxLag),
            ProvisionalAfter = CatalogCodec.ProvisionalAfterOf(request.ProvisionalAfterMs),
            DefaultTtlMs = request.DefaultTtlMs,
            Conflicts = CatalogCodec.FromWire(request.Conflicts),
            DefaultReadLevel = (Core.Replicas.ReadLevel)request.DefaultReadLevel,
            MemoryBytes = CatalogCodec.MemoryBytesOf(request),
        };
    }

    internal async Task<(ClusterCatalog Catalog, ByteString Version)> ReadAsync(CancellationToken cancellation)
    {
        Result result = await RunAsync(new WireOperation { Kind = OperationKind.Get, Key = RecordKey, Level = ReadLevel.Linearizable }, cancellation);
        return result.Found ? (CatalogCodec.Decode(result.Value.Span), result.Version) : (initial, ByteString.Empty);
    }

    internal async Task<bool> TryWriteAsync(ClusterCatalog next, ByteString version, CancellationToken cancellation)
    {
        byte[] record = CatalogCodec.Encode(next);
        if (record.Length > KvLimits.MaxValueBytes)
        {
            throw Refused(StatusCode.ResourceExhausted, "The catalog would exceed its size limit of 1 MiB: there are too many keyspaces or shards.");
        }

        Result result = await RunAsync(
            new WireOperation
            {
                Kind = OperationKind.Put,
                Key = RecordKey,
                Value = record,
                Condition = version.IsEmpty ? WriteCondition.IfAbsent : WriteCondition.IfVersion,
                Version = version.Memory,
            },
            cancellation);
        return result.Outcome == Outcome.Done;
    }

    /// <summary>Runs on the system shard, patiently: right after a start, and while a leader is elected, it can't answer.</summary>
    private async Task<Result> RunAsync(WireOperation operation, CancellationToken cancellation)
    {
        const int Attempts = 40;
        var pause = TimeSpan.FromMilliseconds(50);
        operation.KeyspaceId = 0;
        for (int attempt = 1; ; attempt++)
        {
            Result result = await executor.ExecuteAsync(operation, cancellation);
            bool retry = result.Outcome == Outcome.NotDone && result.Retryable && result.Code != Code.NoQuorum;
            if (!retry || attempt == Attempts)
            {
                return ResultMessages.ThrowIfRefused(result);
            }

            using var timer = new PeriodicTimer(pause);
            await timer.WaitForNextTickAsync(cancellation);
        }
    }

    internal static RpcException Refused(StatusCode code, string reason) => new(new Status(code, reason));
}

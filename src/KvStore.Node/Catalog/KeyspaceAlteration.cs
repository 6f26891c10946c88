using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts.V1;
using KvStore.Core.Policy;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Node.Catalog;

/// <summary>
/// Changes the settings of a keyspace that is in use: one compare-and-set of the catalog says what is wanted, and is all that happens here. <see cref="RegimeKeeper"/> at each shard's leader brings the shard there.
/// </summary>
internal sealed class KeyspaceAlteration(KeyspaceAdmin catalogs, TopologyFeed topology, ILogger<KeyspaceAlteration> log)
{
    private const int MaxAttempts = 16;

    /// <returns>The keyspace as it is set now, and whether this call has set it so.</returns>
    /// <exception cref="RpcException">There is no such keyspace, or the settings are unknown or contradictory.</exception>
    public async Task<(CatalogKeyspace Keyspace, bool Changed)> AlterAsync(AlterKeyspaceRequest request, CancellationToken cancellation)
    {
        if (request is { Policy: Contracts.V1.PartitionPolicy.Unspecified, Replication: Contracts.V1.Replication.Unspecified, MaxLag: null, ProvisionalAfterMs: 0 })
        {
            throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, "Nothing is to be altered: give a policy, a replication, a max-lag or a provisional-after.");
        }

        for (int attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            (ClusterCatalog catalog, ByteString version) = await catalogs.ReadAsync(cancellation);
            CatalogKeyspace keyspace = catalog.Keyspaces.FirstOrDefault(each => each.Name == request.Name)
                ?? throw KeyspaceAdmin.Refused(StatusCode.NotFound, $"There is no keyspace '{request.Name}'; 'kv keyspace list' shows those there are.");
            CatalogKeyspace altered = Altered(keyspace, request);
            if (altered == keyspace)
            {
                await topology.WaitForRevisionAsync(catalog.Revision, cancellation);
                return (keyspace, false);
            }

            altered = altered with { Alterations = keyspace.Alterations + 1 };
            ClusterCatalog next = catalog with { Revision = catalog.Revision + 1, Keyspaces = catalog.Keyspaces.Replace(keyspace, altered) };
            if (await catalogs.TryWriteAsync(next, version, cancellation))
            {
                CatalogLog.KeyspaceAltered(log, altered.Name, keyspace.Mode.ToString(), altered.Mode.ToString());
                await topology.WaitForRevisionAsync(next.Revision, cancellation);
                return (altered, true);
            }
        }

        throw KeyspaceAdmin.Refused(StatusCode.Aborted, "The catalog kept changing meanwhile; try again.");
    }

    private static CatalogKeyspace Altered(CatalogKeyspace keyspace, AlterKeyspaceRequest request)
    {
        if (keyspace.Name == ClusterCatalog.SystemKeyspaceName)
        {
            throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, "The system's own keyspace is not altered: the catalog needs one order of all its changes.");
        }

        var mode = new KeyspaceMode(
            request.Policy == Contracts.V1.PartitionPolicy.Unspecified ? keyspace.Mode.Partition : (PartitionChoice)request.Policy,
            request.Replication == Contracts.V1.Replication.Unspecified ? keyspace.Mode.Replication : (Replication)request.Replication);
        KeyspaceAdmin.CheckMode(mode);
        KeyspaceAdmin.CheckProvisionalAfter(request.ProvisionalAfterMs, mode);
        if (ConflictRules.FaultOf(keyspace.Conflicts, mode.Partition) is not null)
        {
            throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, $"The keyspace '{keyspace.Name}' lets the last writer win, which only ap keyspaces can: it stays ap. Copy what is to be cp into another keyspace.");
        }

        if (keyspace.MemoryBytes > 0 && mode.Partition != PartitionChoice.Ap)
        {
            throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, $"The keyspace '{keyspace.Name}' is in memory, which only ap keyspaces can be: it stays ap. Copy what is to be cp into another keyspace.");
        }

        Core.Policy.MaxLag maxLag = request.MaxLag is null ? keyspace.MaxLag : CatalogCodec.FromWire(request.MaxLag);
        return maxLag.Fault is { } fault
            ? throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, fault)
            : keyspace with { Mode = mode, FoundingMode = keyspace.FoundingMode, MaxLag = maxLag, ProvisionalAfter = ProvisionalAfterOf(keyspace, request, mode) };
    }

    /// <summary>A keyspace that ceases to be adaptive forgets it: what it was says nothing about what it shall be, should it ever be adaptive again.</summary>
    private static ProvisionalAfter ProvisionalAfterOf(CatalogKeyspace keyspace, AlterKeyspaceRequest request, KeyspaceMode mode) =>
        mode.Partition != PartitionChoice.Adaptive ? ProvisionalAfter.Default
        : request.ProvisionalAfterMs == 0 ? keyspace.ProvisionalAfter
        : CatalogCodec.ProvisionalAfterOf(request.ProvisionalAfterMs);
}

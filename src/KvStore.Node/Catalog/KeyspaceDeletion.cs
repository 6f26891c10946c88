using Google.Protobuf;
using Grpc.Core;

namespace KvStore.Node.Catalog;

/// <summary>
/// Deletes a keyspace: one compare-and-set takes it out of the catalog, and is all that happens here. <see cref="CatalogFollower"/> on every node then closes the replicas and destroys their data, whenever that
/// node hears of it.
/// </summary>
internal sealed class KeyspaceDeletion(KeyspaceAdmin catalogs, TopologyFeed topology, ILogger<KeyspaceDeletion> log)
{
    private const int MaxAttempts = 16;

    /// <returns>Its id, and whether this call has deleted it. False: the id that was given had been deleted before.</returns>
    /// <exception cref="RpcException">There is no such keyspace, it has another id than the one given, or it is the system's.</exception>
    public async Task<(uint Id, bool Deleted)> DeleteAsync(string name, uint id, CancellationToken cancellation)
    {
        if (name == ClusterCatalog.SystemKeyspaceName)
        {
            throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, "The system's own keyspace is not deleted: the catalog is in it.");
        }

        for (int attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            (ClusterCatalog catalog, ByteString version) = await catalogs.ReadAsync(cancellation);
            CatalogKeyspace? keyspace = catalog.Keyspaces.FirstOrDefault(each => each.Name == name);
            if (id != 0 && keyspace?.Id != id)
            {
                return WasDeleted(catalog, id) ? (id, false) : throw OtherId(name, id, keyspace);
            }

            if (keyspace is null)
            {
                throw KeyspaceAdmin.Refused(StatusCode.NotFound, $"There is no keyspace '{name}'; 'kv keyspace list' shows those there are.");
            }

            ClusterCatalog next = catalog with { Revision = catalog.Revision + 1, Keyspaces = catalog.Keyspaces.Remove(keyspace) };
            if (await catalogs.TryWriteAsync(next, version, cancellation))
            {
                CatalogLog.KeyspaceDeleted(log, keyspace.Name, keyspace.Id, keyspace.Shards.Length);
                await topology.WaitForRevisionAsync(next.Revision, cancellation);
                return (keyspace.Id, true);
            }
        }

        throw KeyspaceAdmin.Refused(StatusCode.Aborted, "The catalog kept changing meanwhile; try again.");
    }

    /// <summary>Ids are given out in order and never twice.</summary>
    private static bool WasDeleted(ClusterCatalog catalog, uint id) => id < catalog.NextKeyspaceId && !catalog.Keyspaces.Any(keyspace => keyspace.Id == id);

    private static RpcException OtherId(string name, uint id, CatalogKeyspace? keyspace) => keyspace is null
        ? KeyspaceAdmin.Refused(StatusCode.NotFound, $"There is no keyspace '{name}' with the id {id}; 'kv keyspace list' shows those there are.")
        : KeyspaceAdmin.Refused(StatusCode.FailedPrecondition, $"The keyspace '{name}' has the id {keyspace.Id}, not {id}: it is another one. Nothing was deleted.");
}

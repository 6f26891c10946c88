using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Node.Clients;

namespace KvStore.Node.Catalog;

/// <summary>Finds keyspaces for callers that name them. One that is not there is unknown only where this node has read the catalog; until then it may exist, and the caller asks again or elsewhere.</summary>
internal static class KeyspaceLookup
{
    /// <summary>Why a node that has only just started says nothing of a keyspace.</summary>
    public const string NotReadYet = "This node has started a moment ago and has not read the catalog yet, so it can't tell which keyspaces there are; try again in a moment, or ask another node.";

    private const string ShowsAll = "'kv keyspace list' shows those there are";

    /// <param name="advice">What to do where there is no such keyspace.</param>
    /// <exception cref="RpcException">There is no such keyspace, or this node can't tell.</exception>
    public static CatalogKeyspace Require(this ShardRouter router, string name, string advice = ShowsAll) =>
        router.Find(name) ?? throw (router.HasReadCatalog ? DoesNotExist($"There is no keyspace '{Short(name)}'; {advice}.") : CanNotTell());

    /// <exception cref="RpcException">This node has nothing but its configuration, and can't tell what there is.</exception>
    public static ClusterCatalog RequireCatalog(this ShardRouter router) => router.HasReadCatalog || router.Catalog.Revision > 0 ? router.Catalog : throw CanNotTell();

    /// <summary>A name as it is shown in a refusal.</summary>
    public static string Short(string name) => name.Length > KvLimits.MaxKeyspaceNameLength ? name[..KvLimits.MaxKeyspaceNameLength] : name;

    private static RpcException DoesNotExist(string reason) => ResultMessages.RefusalOf(new Result { Outcome = Outcome.NotDone, Code = Code.UnknownKeyspace, Reason = reason });

    private static RpcException CanNotTell() => ResultMessages.RefusalOf(new Result { Outcome = Outcome.NotDone, Code = Code.Recovering, Reason = NotReadYet, Retryable = true });
}

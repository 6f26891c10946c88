using KvStore.Node.Catalog;
using KvStore.Node.Hosting;

namespace KvStore.Node.Rest;

/// <summary>The cluster as this node knows it.</summary>
internal static class ClusterResource
{
    public static ClusterDocument Get(TopologyFeed topology) => ClusterDocument.Of(topology.Current());
}

/// <summary>Probes: whether the process works, and whether clients may be sent here.</summary>
internal static class HealthResource
{
    public static IResult Live(NodeLifetime lifetime) => Answer(!lifetime.Failed.IsCompleted);

    public static IResult Ready(NodeLifetime lifetime) => Answer(lifetime is { IsReady: true, Failed.IsCompleted: false });

    private static IResult Answer(bool well) => Results.Text(well ? "ok\n" : "unavailable\n", statusCode: well ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
}

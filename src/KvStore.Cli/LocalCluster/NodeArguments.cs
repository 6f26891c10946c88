using System.Globalization;

namespace KvStore.Cli.LocalCluster;

/// <summary>The command line of one node of a local cluster.</summary>
internal static class NodeArguments
{
    public static IEnumerable<string> For(ClusterDirectory directory, ClusterPlan plan, int node, bool faultInjection)
    {
        yield return "--node-id";
        yield return node.ToString(CultureInfo.InvariantCulture);
        yield return "--cluster";
        yield return plan.Cluster;
        yield return "--data";
        yield return directory.NodeData(node);
        yield return "--listen";
        yield return plan.AddressOf(node);
        if (plan.HttpAddressOf(node) is { } http)
        {
            yield return "--http";
            yield return http;
        }

        yield return "--engine";
        yield return plan.Engine;
        for (var member = 1; member <= plan.Nodes; member++)
        {
            yield return "--member";
            yield return string.Create(CultureInfo.InvariantCulture, $"{member}={plan.AddressOf(member)}");
        }

        foreach (var flag in plan.Flags)
        {
            yield return flag;
        }

        if (faultInjection)
        {
            yield return "--enable-fault-injection";
        }
    }
}

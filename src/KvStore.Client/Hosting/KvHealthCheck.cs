using KvStore.Contracts.V1;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace KvStore.Client.Hosting;

/// <summary>Asks every member for its status: all answer, healthy; some, degraded; none, or nobody knows the members, unhealthy (or what the registration says).</summary>
internal sealed class KvHealthCheck(IKvClient client) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        KvTopology topology;
        try
        {
            topology = await client.GetTopologyAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (KvException unreached)
        {
            return new HealthCheckResult(context.Registration.FailureStatus, unreached.Message, unreached);
        }

        (uint Node, bool Up)[] asked = await Task.WhenAll(topology.Members.Select(member => AskAsync(member.Node, cancellationToken))).ConfigureAwait(false);
        uint[] silent = [.. asked.Where(node => !node.Up).Select(node => node.Node)];
        Dictionary<string, object> data = new() { ["members"] = asked.Length, ["silent"] = string.Join(", ", silent) };
        return silent.Length switch
        {
            0 => HealthCheckResult.Healthy($"All {asked.Length} nodes answer.", data),
            var some when some < asked.Length => HealthCheckResult.Degraded($"{some} of {asked.Length} nodes do not answer: {data["silent"]}.", data: data),
            _ => new HealthCheckResult(context.Registration.FailureStatus, $"None of the {asked.Length} nodes answers.", data: data),
        };
    }

    private async Task<(uint Node, bool Up)> AskAsync(uint node, CancellationToken cancellationToken)
    {
        try
        {
            NodeStatusResponse status = await client.Admin.NodeStatusAsync(node, cancellationToken: cancellationToken).ConfigureAwait(false);
            return (node, status.Node == node);
        }
        catch (KvException)
        {
            return (node, false);
        }
    }
}

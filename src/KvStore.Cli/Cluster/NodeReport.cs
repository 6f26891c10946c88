using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Cluster;

/// <summary>A member and what it says of itself and the others; no status when it did not answer, and then why.</summary>
internal sealed record NodeReport(uint Node, string Address, NodeStatusResponse? Status, string? Silence)
{
    /// <summary>Asks all members at the same time. Those that don't answer are part of the result, not an error.</summary>
    /// <exception cref="KvException">No member could be reached at all.</exception>
    public static async Task<IReadOnlyList<NodeReport>> AskAllAsync(CommandContext context, bool replicas)
    {
        var topology = await context.Client.GetTopologyAsync(context.Stop);
        return await Task.WhenAll(topology.Members.OrderBy(member => member.Node).Select(member => AskAsync(context, member, replicas)));
    }

    private static async Task<NodeReport> AskAsync(CommandContext context, KvMember member, bool replicas)
    {
        try
        {
            var status = await context.Client.Admin.NodeStatusAsync(member.Node, replicas, context.Stop);
            return new NodeReport(member.Node, member.Address, status, null);
        }
        catch (KvException exception)
        {
            return new NodeReport(member.Node, member.Address, null, Failures.Sentence(exception.Message));
        }
    }
}

using Grpc.Core;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;

namespace KvStore.Node.Faults;

/// <summary>kvstore.v1.Fault: operators' access to the injected faults of this node.</summary>
public sealed class FaultService(LinkFaults faults, FaultInjectionSwitch enabled, ILogger<FaultService> log) : Fault.FaultBase
{
    public override Task<FaultsResponse> Set(SetFaultsRequest request, ServerCallContext context)
    {
        Demand();
        try
        {
            faults.Set([.. request.Links.Select(Parse)]);
        }
        catch (ArgumentException wrong)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, wrong.Message));
        }

        foreach ((NodeId peer, PeerFault fault) in faults.List())
        {
            FaultLog.Disturbed(log, peer, fault);
        }

        return Task.FromResult(Answer());
    }

    public override Task<FaultsResponse> Heal(HealRequest request, ServerCallContext context)
    {
        Demand();
        faults.Heal();
        FaultLog.Healed(log);
        return Task.FromResult(Answer());
    }

    public override Task<FaultsResponse> List(ListFaultsRequest request, ServerCallContext context)
    {
        Demand();
        return Task.FromResult(Answer());
    }

    private void Demand()
    {
        if (!enabled.Enabled)
        {
            throw new RpcException(new Status(
                StatusCode.FailedPrecondition, $"Node {enabled.Node.Value} runs without fault injection: start it with --enable-fault-injection."));
        }
    }

    private static KeyValuePair<NodeId, PeerFault> Parse(LinkFault link)
    {
        if (link.Peer is 0 or > NodeId.Max)
        {
            throw new ArgumentException($"There is no node {link.Peer}: name a peer, 1 to {NodeId.Max}.");
        }

        return new(new NodeId(link.Peer), new PeerFault
        {
            CutOutbound = link.CutOutbound,
            CutInbound = link.CutInbound,
            DelayMs = (int)Math.Min(link.DelayMs, int.MaxValue),
            Drop = link.Drop,
            Duplicate = link.Duplicate,
            Reorder = link.Reorder,
        });
    }

    private FaultsResponse Answer()
    {
        FaultsResponse response = new() { Node = enabled.Node.Value };
        response.Links.AddRange(faults.List().Select(link => new LinkFault
        {
            Peer = link.Key.Value,
            CutOutbound = link.Value.CutOutbound,
            CutInbound = link.Value.CutInbound,
            DelayMs = (uint)link.Value.DelayMs,
            Drop = link.Value.Drop,
            Duplicate = link.Value.Duplicate,
            Reorder = link.Value.Reorder,
        }));
        return response;
    }
}

/// <summary>Whether operators may inject faults into this node.</summary>
public sealed record FaultInjectionSwitch(NodeId Node, bool Enabled);

/// <summary>Log messages of fault injection. Event ids 2100 to 2119, stable.</summary>
internal static partial class FaultLog
{
    [LoggerMessage(2100, LogLevel.Warning, "FAULT INJECTION IS ENABLED on this node: anyone who reaches it may cut its links. Never do this in production")]
    public static partial void Enabled(ILogger log);

    [LoggerMessage(2101, LogLevel.Warning, "INJECTED FAULT on the link with {Peer}: {Fault}")]
    public static partial void Disturbed(ILogger log, NodeId peer, PeerFault fault);

    [LoggerMessage(2102, LogLevel.Warning, "All injected faults are healed")]
    public static partial void Healed(ILogger log);
}

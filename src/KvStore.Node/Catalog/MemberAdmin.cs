using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Loops;
using KvStore.Node.Peers;

namespace KvStore.Node.Catalog;

/// <summary>What operators ask for when a cluster grows and shrinks: one compare-and-set of the catalog each. What follows from it is <see cref="MemberKeeper"/>'s affair.</summary>
internal sealed class MemberAdmin(KeyspaceAdmin catalogs, LoopSet loops, TopologyFeed topology, HeartbeatService heartbeats, MemberRoster roster, ILogger<MemberAdmin> log)
{
    private const int MaxAttempts = 16;

    /// <exception cref="RpcException">The node can't be taken in; the detail says why.</exception>
    public async Task<AddMemberResponse> AddAsync(AddMemberRequest request, CancellationToken cancellation)
    {
        NodeId node = Checked(request.Node);
        double weight = request.Weight == 0 ? 1 : request.Weight;
        for (int attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            (ClusterCatalog catalog, ByteString version) = await catalogs.ReadAsync(cancellation);
            if (catalog.Find(node) is { State: MemberState.Joining } joining && joining.Address == request.Address)
            {
                return new AddMemberResponse { Added = false, State = Contracts.V1.MemberState.Joining, Revision = catalog.Revision };
            }

            if (MemberChanges.FaultOfAdding(catalog, node, request.Address, weight) is { } fault)
            {
                throw KeyspaceAdmin.Refused(catalog.Find(node) is null ? StatusCode.InvalidArgument : StatusCode.AlreadyExists, fault);
            }

            ClusterCatalog next = catalog.WithJoining(node, request.Address, weight);
            if (await catalogs.TryWriteAsync(next, version, cancellation))
            {
                CatalogLog.MemberAdded(log, node, request.Address);
                await topology.WaitForRevisionAsync(next.Revision, cancellation);
                return new AddMemberResponse { Added = true, State = Contracts.V1.MemberState.Joining, Revision = next.Revision };
            }
        }

        throw KeyspaceAdmin.Refused(StatusCode.Aborted, "The catalog kept changing meanwhile; try again.");
    }

    /// <exception cref="RpcException">The member can't be let go; the detail says why.</exception>
    public async Task<RemoveMemberResponse> RemoveAsync(RemoveMemberRequest request, CancellationToken cancellation)
    {
        NodeId node = Checked(request.Node);
        for (int attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            (ClusterCatalog catalog, ByteString version) = await catalogs.ReadAsync(cancellation);
            if (catalog.Find(node) is not { } member)
            {
                return catalog.Removed.Contains(node)
                    ? new RemoveMemberResponse { Gone = true }
                    : throw KeyspaceAdmin.Refused(StatusCode.NotFound, $"Node {node.Value} is no member of this cluster; members are {string.Join(", ", catalog.Members.Select(each => each.Node.Value))}.");
            }

            int shards = catalog.ShardsOn(node);
            if (member.State == MemberState.Leaving)
            {
                return new RemoveMemberResponse { Shards = (uint)shards };
            }

            if (MemberChanges.FaultOfRemoving(catalog, node, IsUp, request.Force) is { } fault)
            {
                throw KeyspaceAdmin.Refused(StatusCode.FailedPrecondition, fault);
            }

            ClusterCatalog next = catalog.WithLeaving(node);
            if (await catalogs.TryWriteAsync(next, version, cancellation))
            {
                CatalogLog.MemberLeaves(log, node, shards);
                await topology.WaitForRevisionAsync(next.Revision, cancellation);
                return new RemoveMemberResponse { Removing = true, Shards = (uint)shards };
            }
        }

        throw KeyspaceAdmin.Refused(StatusCode.Aborted, "The catalog kept changing meanwhile; try again.");
    }

    public async Task<Membership> MembersAsync(MembershipRequest request, CancellationToken cancellation)
    {
        if (!request.Current)
        {
            return roster.ToWire();
        }

        (ClusterCatalog catalog, _) = await catalogs.ReadAsync(cancellation);
        return MemberRoster.ToWire(catalog.ClusterId, MemberRoster.Of(catalog));
    }

    private static NodeId Checked(uint node) => node is > 0 and <= NodeId.Max ? new NodeId(node) : throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, $"Node ids are 1 to {NodeId.Max}, and {node} is none.");

    private bool IsUp(NodeId node) => node == loops.Self || heartbeats.View.Of(node) == Contracts.V1.Reachability.Up;
}

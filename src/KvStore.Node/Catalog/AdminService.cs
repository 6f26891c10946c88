using System.Diagnostics;
using Grpc.Core;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Loops;
using KvStore.Node.Peers;
using KvStore.Storage;

namespace KvStore.Node.Catalog;

/// <summary>kvstore.v1.Admin.</summary>
internal sealed class AdminService(KeyspaceAdmin keyspaces, LoopSet loops, TopologyFeed topology, HeartbeatService heartbeats, NodeStorage storage, NodeFacts facts, LostWriteReader lostWrites, KeyspaceAlteration alteration, KeyspaceDeletion deletion, AlterProgressReader progress, LeaderTransfer transfer, PeerMesh mesh, ReplicaReport report, MemberAdmin members) : Admin.AdminBase
{
    public override async Task<Keyspace> CreateKeyspace(CreateKeyspaceRequest request, ServerCallContext context) =>
        CatalogCodec.ToWire(await keyspaces.CreateAsync(request, context.CancellationToken), topology.LeaderOf, topology.RegimeOf);

    public override Task<ListKeyspacesResponse> ListKeyspaces(ListKeyspacesRequest request, ServerCallContext context)
    {
        var response = new ListKeyspacesResponse();
        response.Keyspaces.AddRange(loops.Router.RequireCatalog().Keyspaces.Select(keyspace => CatalogCodec.ToWire(keyspace, topology.LeaderOf, topology.RegimeOf)));
        return Task.FromResult(response);
    }

    public override async Task<KeyspaceDescription> DescribeKeyspace(DescribeKeyspaceRequest request, ServerCallContext context)
    {
        CatalogKeyspace keyspace = loops.Router.Require(request.Name);
        var description = new KeyspaceDescription { Keyspace = CatalogCodec.ToWire(keyspace, topology.LeaderOf, topology.RegimeOf) };
        description.Replicas.AddRange((await report.DescribeAsync()).Where(replica => replica.KeyspaceId == keyspace.Id));
        return description;
    }

    public override async Task<AlterKeyspaceResponse> AlterKeyspace(AlterKeyspaceRequest request, ServerCallContext context)
    {
        (CatalogKeyspace keyspace, bool changed) = await alteration.AlterAsync(request, context.CancellationToken);
        return new AlterKeyspaceResponse
        {
            Keyspace = CatalogCodec.ToWire(keyspace, topology.LeaderOf, topology.RegimeOf),
            Changed = changed,
            Progress = await progress.ReadAsync(request.Name, topology.LeaderOf, context.CancellationToken),
        };
    }

    public override async Task<DeleteKeyspaceResponse> DeleteKeyspace(DeleteKeyspaceRequest request, ServerCallContext context)
    {
        (uint id, bool deleted) = await deletion.DeleteAsync(request.Name, request.Id, context.CancellationToken);
        return new DeleteKeyspaceResponse { Id = id, Deleted = deleted };
    }

    public override Task<KeyspaceProgress> AlterProgress(AlterProgressRequest request, ServerCallContext context) =>
        progress.ReadAsync(request.Name, topology.LeaderOf, context.CancellationToken);

    public override async Task<NodeStatusResponse> NodeStatus(NodeStatusRequest request, ServerCallContext context)
    {
        List<ReplicaStatus> replicas = await report.DescribeAsync();
        StorageStats stats = storage.Stats;
        var response = new NodeStatusResponse
        {
            Node = loops.Self.Value,
            ClusterId = facts.ClusterId,
            Incarnation = storage.Incarnation,
            Version = facts.Version,
            TopologyRevision = loops.Router.Catalog.Revision,
            SystemLeader = topology.LeaderOf(ShardId.System).Value,
            ReplicaCount = (uint)replicas.Count,
            LedCount = (uint)replicas.Count(replica => replica.Leader == loops.Self.Value),
            WalBytes = (ulong)stats.RetainedLogBytes,
            Fsyncs = (ulong)stats.Syncs,
            FaultInjection = facts.FaultInjection,
            UptimeMs = (ulong)Stopwatch.GetElapsedTime(facts.StartedAt).TotalMilliseconds,
            DiskLow = storage.IsDiskLow,
            ClockOffsetMs = loops.ClockOffsetMs,
            MaxClockDriftMs = (uint)loops.ReplicaOptions.MaxClockDriftMs,
        };
        response.Peers.AddRange(heartbeats.View.Peers.Select(Describe));
        if (request.Replicas)
        {
            response.Replicas.AddRange(replicas);
        }

        return response;
    }

    public override async Task<ReplaceNodeResponse> ReplaceNode(ReplaceNodeRequest request, ServerCallContext context)
    {
        var node = new NodeId(request.Node);
        if (node == loops.Self || heartbeats.View.Of(node) == Reachability.Up)
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition, $"Node {request.Node} is up, as node {loops.Self.Value} hears it: only a node whose data is lost is replaced. Stop it first."));
        }

        (uint generation, int shards) = await keyspaces.ReplaceNodeAsync(node, request.Generation, context.CancellationToken);
        return new ReplaceNodeResponse { Generation = generation, Shards = (uint)shards };
    }

    public override Task<AddMemberResponse> AddMember(AddMemberRequest request, ServerCallContext context) => members.AddAsync(request, context.CancellationToken);

    public override Task<RemoveMemberResponse> RemoveMember(RemoveMemberRequest request, ServerCallContext context) => members.RemoveAsync(request, context.CancellationToken);

    public override Task<Membership> Members(MembershipRequest request, ServerCallContext context) => members.MembersAsync(request, context.CancellationToken);

    public override Task<LostWritesResponse> LostWrites(LostWritesRequest request, ServerCallContext context) => lostWrites.ReadAsync(request, context.CancellationToken);

    public override Task<TransferLeaderResponse> TransferLeader(TransferLeaderRequest request, ServerCallContext context) =>
        transfer.RunAsync(request, context.Deadline, context.CancellationToken);

    private PeerStatus Describe(PeerLiveness peer) => new()
    {
        Node = peer.Node.Value,
        Address = peer.Address,
        Reachability = peer.Reachability,
        Phi = peer.Phi,
        LastHeardMs = (ulong)Math.Max(0, peer.SinceHeard.TotalMilliseconds),
        HearsUs = peer.HearsUs,
        RoundTripMs = peer.RoundTripMs,
        ClockOffsetMs = double.IsNaN(peer.ClockSkewMs) ? 0 : peer.ClockSkewMs,
        Losses = (uint)peer.Link.Losses,
        HeldDownMs = (ulong)peer.Link.HeldDownMs,
        SentBytes = (ulong)mesh.Counters(peer.Node).BytesSent,
        BulkSentBytes = (ulong)mesh.Counters(peer.Node).BulkBytesSent,
    };
}

/// <summary>What never changes while the node runs.</summary>
internal sealed record NodeFacts(string ClusterId, string Version, bool FaultInjection, long StartedAt);

using System.Collections.Concurrent;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client.Connections;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>Unary calls of admin.proto, on channels apart from the data streams.</summary>
internal sealed class KvAdminClient(KvClient client, KvClientOptions options) : IKvAdmin, IDisposable
{
    private const string CreateKeyspace = "create keyspace";
    private const string AlterKeyspace = "alter keyspace";
    private const string DeleteKeyspace = "delete keyspace";
    private const string TransferLeader = "transfer of the leadership";
    private const string ReplaceNode = "replace node";
    private const string AddMember = "add member";
    private const string RemoveMember = "remove member";
    private const string SetFaults = "set faults";
    private const string HealFaults = "heal faults";
    private const string RefusalTrailer = "kvstore-refusal-bin";

    private readonly ConcurrentDictionary<Uri, (GrpcChannel Channel, Overheard Heard)> _channels = new();

    public ValueTask<Keyspace> CreateKeyspaceAsync(KvKeyspaceSettings settings, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentException.ThrowIfNullOrEmpty(settings.Name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(settings.Name.Length, KvLimits.MaxKeyspaceNameLength, nameof(settings));
        if (settings.Shards is < 0 or > KvLimits.MaxShards)
        {
            throw new ArgumentOutOfRangeException(nameof(settings), settings.Shards, $"A keyspace has 1 to {KvLimits.MaxShards} shards; 0: {KvLimits.DefaultShards}.");
        }

        if (settings.Replicas is < 0 or > KvLimits.MaxReplicas)
        {
            throw new ArgumentOutOfRangeException(nameof(settings), settings.Replicas, $"A shard has 1 to {KvLimits.MaxReplicas} replicas; 0: up to 3.");
        }

        ArgumentOutOfRangeException.ThrowIfNegative(settings.MaxLagBytes, nameof(settings));
        ArgumentOutOfRangeException.ThrowIfNegative(settings.MemoryBytes, nameof(settings));
        if (settings.MaxLagTime < TimeSpan.Zero || settings.MaxLagTime > TimeSpan.FromMinutes(1))
        {
            throw new ArgumentOutOfRangeException(nameof(settings), settings.MaxLagTime, "The max-lag is 1 ms to 60 s; zero: 1 s.");
        }

        if (settings.ProvisionalAfter < TimeSpan.Zero || settings.ProvisionalAfter > TimeSpan.FromHours(1))
        {
            throw new ArgumentOutOfRangeException(nameof(settings), settings.ProvisionalAfter, "Provisional service begins after 1 s to 1 h; zero: 2 s.");
        }

        if (settings.DefaultTtl is { } ttl && (ttl.TotalMilliseconds < 1 || ttl.TotalMilliseconds > KvLimits.MaxTtlMs))
        {
            throw new ArgumentOutOfRangeException(nameof(settings), ttl, "A time to live is 1 ms to 10 years; null: none.");
        }

        CreateKeyspaceRequest request = new()
        {
            Name = settings.Name,
            Policy = settings.Policy,
            Replication = settings.Replication,
            Shards = (uint)settings.Shards,
            Replicas = (uint)settings.Replicas,
            ProvisionalAfterMs = (uint)settings.ProvisionalAfter.TotalMilliseconds,
            DefaultTtlMs = (ulong)(settings.DefaultTtl?.TotalMilliseconds ?? 0),
            DefaultReadLevel = (ReadLevel)settings.DefaultReadLevel,
            Conflicts = settings.Conflicts,
            Durability = settings.Durability,
            MemoryBytes = (ulong)settings.MemoryBytes,
        };
        if (settings.MaxLagBytes != 0 || settings.MaxLagTime != TimeSpan.Zero)
        {
            request.MaxLag = new MaxLag { Bytes = (uint)settings.MaxLagBytes, TimeMs = (uint)settings.MaxLagTime.TotalMilliseconds };
        }

        return AnyAsync(CreateKeyspace, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).CreateKeyspaceAsync(request, call), cancellationToken);
    }

    public async ValueTask<IReadOnlyList<Keyspace>> ListKeyspacesAsync(CancellationToken cancellationToken = default) =>
        (await AnyAsync("list keyspaces", (channel, call) => new Contracts.V1.Admin.AdminClient(channel).ListKeyspacesAsync(new(), call), cancellationToken)
            .ConfigureAwait(false)).Keyspaces;

    public ValueTask<KeyspaceDescription> DescribeKeyspaceAsync(string name, uint node = 0, CancellationToken cancellationToken = default) =>
        AtAsync("describe keyspace", node, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).DescribeKeyspaceAsync(new() { Name = name }, call), cancellationToken);

    public ValueTask<AlterKeyspaceResponse> AlterKeyspaceAsync(string name, KvKeyspaceChange change, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(change);
        if (change.MaxLagBytes is < 0 || change.MaxLagTime is { } time && (time < TimeSpan.FromMilliseconds(1) || time > TimeSpan.FromMinutes(1)))
        {
            throw new ArgumentOutOfRangeException(nameof(change), "The max-lag is 1 byte to 32 MiB and 1 ms to 60 s.");
        }

        if (change.ProvisionalAfter is { } after && (after < TimeSpan.FromSeconds(1) || after > TimeSpan.FromHours(1)))
        {
            throw new ArgumentOutOfRangeException(nameof(change), after, "Provisional service begins after 1 s to 1 h.");
        }

        AlterKeyspaceRequest request = new()
        {
            Name = name,
            Policy = change.Policy ?? default,
            Replication = change.Replication ?? default,
            ProvisionalAfterMs = (uint)(change.ProvisionalAfter?.TotalMilliseconds ?? 0),
        };
        if (change.MaxLagBytes is not null || change.MaxLagTime is not null)
        {
            request.MaxLag = new MaxLag { Bytes = (uint)(change.MaxLagBytes ?? 0), TimeMs = (uint)(change.MaxLagTime?.TotalMilliseconds ?? 0) };
        }

        return AnyAsync(AlterKeyspace, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).AlterKeyspaceAsync(request, call), cancellationToken);
    }

    public ValueTask<DeleteKeyspaceResponse> DeleteKeyspaceAsync(string name, uint id = 0, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        DeleteKeyspaceRequest request = new() { Name = name, Id = id };
        return AnyAsync(DeleteKeyspace, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).DeleteKeyspaceAsync(request, call), cancellationToken);
    }

    public ValueTask<KeyspaceProgress> AlterProgressAsync(string name, CancellationToken cancellationToken = default) =>
        AnyAsync("progress of a keyspace", (channel, call) => new Contracts.V1.Admin.AdminClient(channel).AlterProgressAsync(new() { Name = name }, call), cancellationToken);

    public ValueTask<NodeStatusResponse> NodeStatusAsync(uint node, bool replicas = false, CancellationToken cancellationToken = default) =>
        AtAsync("node status", node, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).NodeStatusAsync(new() { Replicas = replicas }, call), cancellationToken);

    public async ValueTask<ReplaceNodeResponse> ReplaceNodeAsync(uint node, CancellationToken cancellationToken = default)
    {
        KvTopology topology = await client.GetTopologyAsync(cancellationToken).ConfigureAwait(false);
        KvMember member = MemberOf(topology, node);
        ReplaceNodeRequest request = new() { Node = node, Generation = member.Generation + 1 };
        return await AnyAsync(ReplaceNode, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).ReplaceNodeAsync(request, call), cancellationToken).ConfigureAwait(false);
    }

    public ValueTask<AddMemberResponse> AddMemberAsync(uint node, string address, double weight = 1, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfZero(node);
        ArgumentException.ThrowIfNullOrEmpty(address);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(weight);
        AddMemberRequest request = new() { Node = node, Address = address, Weight = weight };
        return AnyAsync(AddMember, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).AddMemberAsync(request, call), cancellationToken);
    }

    public ValueTask<RemoveMemberResponse> RemoveMemberAsync(uint node, bool force = false, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfZero(node);
        RemoveMemberRequest request = new() { Node = node, Force = force };
        return AnyAsync(RemoveMember, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).RemoveMemberAsync(request, call), cancellationToken);
    }

    public ValueTask<TransferLeaderResponse> TransferLeaderAsync(string keyspace, int shard, uint node, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(keyspace);
        ArgumentOutOfRangeException.ThrowIfNegative(shard);
        ArgumentOutOfRangeException.ThrowIfZero(node);
        TransferLeaderRequest request = new() { Keyspace = keyspace, Shard = (uint)shard, Node = node };
        return AnyAsync(TransferLeader, (channel, call) => new Contracts.V1.Admin.AdminClient(channel).TransferLeaderAsync(request, call), cancellationToken);
    }

    public ValueTask<LostWritesResponse> LostWritesAsync(string name, IEnumerable<LostWrite>? clear = null, CancellationToken cancellationToken = default)
    {
        LostWritesRequest request = new() { Keyspace = name };
        request.Clear.AddRange((clear ?? []).GroupBy(write => (write.Node, write.Shard)).Select(group =>
            new LostWriteMark { Node = group.Key.Node, Shard = group.Key.Shard, Number = group.Max(write => write.Number) }));
        return AnyAsync("lost writes", (channel, call) => new Contracts.V1.Admin.AdminClient(channel).LostWritesAsync(request, call), cancellationToken);
    }

    public async ValueTask<IReadOnlyList<LinkFault>> SetFaultsAsync(uint node, IEnumerable<LinkFault> links, CancellationToken cancellationToken = default)
    {
        SetFaultsRequest request = new();
        request.Links.AddRange(links);
        return (await AtAsync(SetFaults, node, (channel, call) => new Fault.FaultClient(channel).SetAsync(request, call), cancellationToken).ConfigureAwait(false)).Links;
    }

    public async ValueTask<IReadOnlyList<LinkFault>> HealFaultsAsync(uint node, CancellationToken cancellationToken = default) =>
        (await AtAsync(HealFaults, node, (channel, call) => new Fault.FaultClient(channel).HealAsync(new(), call), cancellationToken).ConfigureAwait(false)).Links;

    public async ValueTask<IReadOnlyList<LinkFault>> ListFaultsAsync(uint node, CancellationToken cancellationToken = default) =>
        (await AtAsync("list faults", node, (channel, call) => new Fault.FaultClient(channel).ListAsync(new(), call), cancellationToken).ConfigureAwait(false)).Links;

    public ValueTask<KvTopology> GetTopologyAsync(CancellationToken cancellationToken = default) => client.GetTopologyAsync(cancellationToken);

    public void Dispose()
    {
        foreach ((GrpcChannel channel, _) in _channels.Values)
        {
            channel.Dispose();
        }
    }

    private async ValueTask<T> AtAsync<T>(string what, uint node, Func<GrpcChannel, CallOptions, AsyncUnaryCall<T>> call, CancellationToken cancellationToken)
    {
        if (node == 0)
        {
            return await AnyAsync(what, call, cancellationToken).ConfigureAwait(false);
        }

        KvTopology topology = await client.GetTopologyAsync(cancellationToken).ConfigureAwait(false);
        KvMember member = MemberOf(topology, node);
        Uri address = AddressOf(member);
        try
        {
            return await CallAsync(address, call, cancellationToken).ConfigureAwait(false);
        }
        catch (RpcException failure)
        {
            throw Translate(what, node, 1, new Miss(address, failure, AnswerOf(address, failure)), cancellationToken);
        }
    }

    /// <summary>Asks members and seeds in turn until one answers. A call whose fate is open is not repeated unless repeating is harmless, which holds for all of admin.proto.</summary>
    private async ValueTask<T> AnyAsync<T>(string what, Func<GrpcChannel, CallOptions, AsyncUnaryCall<T>> call, CancellationToken cancellationToken)
    {
        IEnumerable<Uri> members = client.Topology?.Members.Select(AddressOf) ?? [];
        Miss? last = null;
        int attempts = 0;
        foreach (Uri address in members.Concat(options.Endpoints.Select(e => new Uri(e))).Distinct())
        {
            try
            {
                attempts++;
                return await CallAsync(address, call, cancellationToken).ConfigureAwait(false);
            }
            catch (RpcException failure)
            {
                var miss = new Miss(address, failure, AnswerOf(address, failure));
                if (failure.StatusCode != StatusCode.Unavailable && !miss.IsStranger)
                {
                    throw Translate(what, 0, attempts, miss, cancellationToken);
                }

                // A refusal by a node that answered says more than a node that could not be reached, or something that is none.
                last = miss.Refusal is null && last is not null ? last : miss;
            }
        }

        throw Translate(what, 0, attempts, last!, cancellationToken);
    }

    private async Task<T> CallAsync<T>(Uri address, Func<GrpcChannel, CallOptions, AsyncUnaryCall<T>> call, CancellationToken cancellationToken)
    {
        (GrpcChannel channel, _) = _channels.GetOrAdd(address, Open);
        CallOptions callOptions = new(deadline: DateTime.UtcNow + options.DefaultTimeout, cancellationToken: cancellationToken);
        return await call(channel, callOptions).ResponseAsync.ConfigureAwait(false);
    }

    private (GrpcChannel Channel, Overheard Heard) Open(Uri address)
    {
        Overheard heard = new();
        return (ChannelFactory.Create(address, options, hears: heard), heard);
    }

    private EndpointAnswer AnswerOf(Uri address, RpcException failure) => EndpointAnswer.Of(failure, _channels[address].Heard);

    private static KvMember MemberOf(KvTopology topology, uint node) =>
        topology.Members.FirstOrDefault(member => member.Node == node)
            ?? throw new ArgumentException($"Node {node} is not a member of the cluster; members are {string.Join(", ", topology.Members.Select(member => member.Node))}.", nameof(node));

    private Uri AddressOf(KvMember member) => new($"{new Uri(options.Endpoints[0]).Scheme}://{member.Address}");

    private static Exception Translate(string what, uint node, int attempts, Miss miss, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return new OperationCanceledException(cancellationToken);
        }

        (RpcException failure, Refusal? refusal) = (miss.Failure, miss.Refusal);
        KvCode code = refusal is not null ? (KvCode)refusal.Code : miss.IsStranger ? KvCode.Unsupported : failure.StatusCode switch
        {
            StatusCode.InvalidArgument or StatusCode.AlreadyExists or StatusCode.FailedPrecondition => KvCode.InvalidArgument,
            StatusCode.NotFound => KvCode.UnknownKeyspace,
            StatusCode.DeadlineExceeded => KvCode.DeadlineExceeded,
            StatusCode.ResourceExhausted => KvCode.Overloaded,
            StatusCode.Unavailable => KvCode.Unavailable,
            _ => KvCode.None,
        };
        bool unreached = failure.StatusCode == StatusCode.Unavailable && refusal is null && !miss.IsStranger;
        bool neverConnected = failure.Status.DebugException is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError };
        bool open = !miss.IsStranger && (failure.StatusCode is StatusCode.DeadlineExceeded or StatusCode.Internal or StatusCode.Unknown || (unreached && !neverConnected));
        bool unknown = what is CreateKeyspace or AlterKeyspace or DeleteKeyspace or ReplaceNode or AddMember or RemoveMember or TransferLeader or SetFaults or HealFaults && (refusal is null ? open : refusal.Outcome == Outcome.Unknown);
        string reason = code == KvCode.Unsupported
            ? $"what answers does not speak this interface: it is no KvStore node, or one of another protocol version ({miss})"
            : refusal is { Reason.Length: > 0 } ? refusal.Reason : unreached || code == KvCode.DeadlineExceeded ? miss.ToString() : failure.Status.Detail;
        string advice = unknown ? " It may have happened: repeat it, which is harmless." : unreached ? " Check the endpoints and that the nodes run."
            : code == KvCode.Unsupported ? " Check the endpoints and the nodes' version." : "";
        return new KvException($"{what}: {reason.TrimEnd('.')} ({code}).{advice}", code, unreached ? KvPhase.Connecting : KvPhase.Server, unknown, node, attempts, failure)
        {
            Missing = [.. (refusal?.Missing ?? []).Select(missing => new KvMissingReplica(missing.Node, TimeSpan.FromMilliseconds(missing.ForMs)))],
        };
    }

    /// <summary>A call that failed at one address.</summary>
    private sealed record Miss(Uri Address, RpcException Failure, EndpointAnswer Answer)
    {
        public Refusal? Refusal { get; } = RefusalOf(Failure);

        public bool IsStranger => Answer.IsStranger && Refusal is null;

        public override string ToString() => $"{Address.ToString().TrimEnd('/')} {Answer.Words}";
    }

    private static Refusal? RefusalOf(RpcException failure)
    {
        byte[]? bytes = failure.Trailers.GetValueBytes(RefusalTrailer);
        try
        {
            return bytes is null ? null : Refusal.Parser.ParseFrom(bytes);
        }
        catch (Google.Protobuf.InvalidProtocolBufferException)
        {
            return null;
        }
    }
}

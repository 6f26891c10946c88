using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Loops;
using KvStore.Node.Peers;

namespace KvStore.Node.Catalog;

/// <summary>
/// While members come and go: at the leader of the system shard, looks once a second how the shards stand, and writes the next step into the catalog (<see cref="MemberPlan"/>). The leaders of the shards carry it out
/// (<see cref="PlacementKeeper"/>). Nothing is remembered here: whoever leads next goes on from what the catalog says, and the compare-and-set lets only one of two get through.
/// </summary>
internal sealed class MemberKeeper(LoopSet loops, KeyspaceAdmin catalogs, ILogger<MemberKeeper> log) : IDisposable
{
    private const long PeriodMs = 1_000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource _stop = new();
    private long _nextMs;
    private int _stepping;

    public void Start() => loops.Ticked += OnTick;

    /// <summary>What is under way ends by itself; nothing waits for it.</summary>
    public void Dispose()
    {
        loops.Ticked -= OnTick;
        _stop.Cancel();
    }

    /// <summary>On the system shard's loop.</summary>
    private void OnTick(ShardLoop loop)
    {
        if (loop.Clock.NowMs < _nextMs || !loops.Router.Catalog.IsChanging || loop.Find(ShardId.System) is not { IsLeader: true } || Interlocked.Exchange(ref _stepping, 1) != 0)
        {
            return;
        }

        _nextMs = loop.Clock.NowMs + PeriodMs;
        _ = Task.Run(StepAsync);
    }

    private async Task StepAsync()
    {
        try
        {
            (ClusterCatalog catalog, ByteString version) = await catalogs.ReadAsync(_stop.Token);
            if (!catalog.IsChanging)
            {
                return;
            }

            // What the replicas say is looked at after the catalog was read: it can only be newer than what the catalog asked for.
            IReadOnlyList<ReplicaStatus>[] answers = await Task.WhenAll(catalog.Members.Select(AskAsync));
            if (MemberPlan.Next(catalog, new ShardStandings(answers.SelectMany(answer => answer))) is { } next && await catalogs.TryWriteAsync(next, version, _stop.Token))
            {
                Tell(catalog, next);
            }
        }
        catch (RpcException)
        {
            // No majority at the moment, or the leadership has moved.
        }
        catch (OperationCanceledException)
        {
            // The node stops.
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            CatalogLog.MemberStepFailed(log, failure);
        }
        finally
        {
            Volatile.Write(ref _stepping, 0);
        }
    }

    private void Tell(ClusterCatalog before, ClusterCatalog now)
    {
        foreach (CatalogMember member in before.Members)
        {
            if (now.Find(member.Node) is not { } after)
            {
                CatalogLog.MemberGone(log, member.Node);
            }
            else if (after.State != member.State)
            {
                CatalogLog.MemberSettled(log, member.Node);
            }
        }

        int moved = before.Keyspaces.Zip(now.Keyspaces).Sum(pair => pair.First.Shards.Zip(pair.Second.Shards).Count(shard => !shard.First.SequenceEqual(shard.Second)));
        if (moved > 0)
        {
            CatalogLog.MembersMove(log, moved, now.Revision);
        }
    }

    /// <summary>Empty: no answer.</summary>
    private async Task<IReadOnlyList<ReplicaStatus>> AskAsync(CatalogMember member)
    {
        try
        {
            using GrpcChannel channel = PeerChannel.Open(member.Address, new PeerMeshOptions());
            NodeStatusResponse status = await new Admin.AdminClient(channel).NodeStatusAsync(new NodeStatusRequest { Replicas = true }, deadline: DateTime.UtcNow + Patience, cancellationToken: _stop.Token);
            return status.Node == member.Node.Value ? status.Replicas : [];
        }
        catch (Exception failure) when (failure is RpcException or UriFormatException && !_stop.IsCancellationRequested)
        {
            return [];
        }
    }
}

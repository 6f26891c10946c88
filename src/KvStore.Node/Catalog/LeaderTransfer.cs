using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;
using KvStore.Node.Peers;
using Outcome = KvStore.Contracts.V1.Outcome;

namespace KvStore.Node.Catalog;

/// <summary>
/// Lets another replica of a shard lead. Any node may be asked: it passes the call on to the one that leads, which begins the transfer once and waits until it hears of its successor. What is begun is never
/// begun a second time by the same call, for while it is under way the shard takes no writes.
/// </summary>
internal sealed class LeaderTransfer(LoopSet loops, TopologyFeed topology, HeartbeatService heartbeats, ILogger<LeaderTransfer> log)
{
    private static readonly TimeSpan DefaultPatience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan MostPatience = TimeSpan.FromSeconds(30);

    /// <summary>Kept back from the caller's time, so that the answer arrives within it.</summary>
    private static readonly TimeSpan ForTheWayBack = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(20);

    /// <exception cref="RpcException">There is no such keyspace or shard, or the node has no replica of it.</exception>
    public async Task<TransferLeaderResponse> RunAsync(TransferLeaderRequest request, DateTime callDeadline, CancellationToken cancellation)
    {
        CatalogKeyspace keyspace = loops.Router.Require(request.Keyspace);
        if (request.Shard >= keyspace.Shards.Length)
        {
            throw KeyspaceAdmin.Refused(StatusCode.InvalidArgument, $"The keyspace '{keyspace.Name}' has the shards 0 to {keyspace.Shards.Length - 1}, and no shard {request.Shard}.");
        }

        NodeId[] nodes = [.. keyspace.Shards[(int)request.Shard].Select(replica => replica.Node)];
        if (!nodes.Any(node => node.Value == request.Node))
        {
            throw KeyspaceAdmin.Refused(
                StatusCode.InvalidArgument, $"Node {request.Node} has no replica of shard {request.Shard} of '{keyspace.Name}'; the nodes {string.Join(", ", nodes.Select(node => node.Value))} have.");
        }

        var shard = new ShardId(keyspace.Id, (int)request.Shard);
        TimeSpan patience = callDeadline == DateTime.MaxValue ? DefaultPatience : callDeadline - DateTime.UtcNow - ForTheWayBack;
        var deadline = new Deadline(patience < MostPatience ? patience : MostPatience);
        return request.HereOnly ? await HandOverAsync(shard, new NodeId(request.Node), deadline, cancellation) : await FindLeaderAsync(request, shard, nodes, deadline, cancellation);
    }

    private static TransferLeaderResponse NotDone(Code code, string reason, uint leader = 0) => new() { Outcome = Outcome.NotDone, Code = code, Reason = reason, Leader = leader };

    /// <summary>Follows the hints until a node says that it leads, or did. An answer that is lost makes the outcome unknown, unless the one who shall lead is then found to lead.</summary>
    private async Task<TransferLeaderResponse> FindLeaderAsync(TransferLeaderRequest request, ShardId shard, NodeId[] nodes, Deadline deadline, CancellationToken cancellation)
    {
        NodeId next = topology.LeaderOf(shard);
        bool lost = false;
        using var pause = new PeriodicTimer(Look);
        for (int turn = 0; ; turn++)
        {
            next = next.IsNone ? nodes[turn % nodes.Length] : next;
            TransferLeaderResponse? answer = next == loops.Self
                ? await HandOverAsync(shard, new NodeId(request.Node), deadline, cancellation)
                : await AskAsync(next, request, deadline, cancellation);
            lost |= answer is null;
            if (answer is { Code: not Code.NotLeader })
            {
                if (lost && answer.Outcome == Outcome.NotDone)
                {
                    // Whether that is this call's own doing, nobody can tell.
                    answer.Outcome = Outcome.Unknown;
                }

                return answer;
            }

            next = answer is { Leader: > 0 } && answer.Leader != next.Value ? new NodeId(answer.Leader) : default;
            if (deadline.IsOver)
            {
                const string NoLeader = "No node that answers leads the shard at present; try again in a moment.";
                return lost
                    ? new TransferLeaderResponse { Outcome = Outcome.Unknown, Code = Code.DeadlineExceeded, Reason = "A node that may have led did not answer: look who leads ('kv keyspace describe') before trying again." }
                    : NotDone(Code.NoLeader, NoLeader);
            }

            await pause.WaitForNextTickAsync(cancellation);
        }
    }

    /// <summary>On the node that leads.</summary>
    private async Task<TransferLeaderResponse> HandOverAsync(ShardId shard, NodeId to, Deadline deadline, CancellationToken cancellation)
    {
        ShardLoop loop = loops.LoopOf(shard);
        bool isUp = to == loops.Self || heartbeats.View.Of(to) == Reachability.Up;
        TransferLeaderResponse? refusal = await LoopSet.RunAsync(loop, on => Begin(on, shard, to, isUp));
        if (refusal is not null)
        {
            return refusal;
        }

        CatalogLog.LeaderTransferred(log, shard, loops.Self, to);
        using var pause = new PeriodicTimer(Look);
        while (true)
        {
            (TransferLeaderResponse? end, TransferLeaderResponse soFar) = await LoopSet.RunAsync(loop, on => Follow(on, shard, to));
            if (end is not null || deadline.IsOver)
            {
                return end ?? soFar;
            }

            await pause.WaitForNextTickAsync(cancellation);
        }
    }

    /// <returns>Null: it has begun.</returns>
    private TransferLeaderResponse? Begin(ShardLoop loop, ShardId shard, NodeId to, bool isUp)
    {
        if (loop.Find(shard) is not { } replica)
        {
            return NotDone(Code.NotLeader, $"Node {loops.Self.Value} has no replica of the shard.");
        }

        if (!replica.IsLeader)
        {
            return NotDone(Code.NotLeader, $"Node {loops.Self.Value} does not lead the shard.", replica.LeaderNode.Value);
        }

        if (to == loops.Self)
        {
            return Done(replica, to);
        }

        if (replica.IsTransferring)
        {
            return NotDone(Code.ChangePending, $"Node {loops.Self.Value} is handing the leadership over already; try again in a moment.", loops.Self.Value);
        }

        if (!isUp)
        {
            return NotDone(Code.NotCaughtUp, $"Node {to.Value} is not up, as node {loops.Self.Value}, which leads, hears it: the shard would take no writes while it waits for it.", loops.Self.Value);
        }

        return loop.TransferLeadership(shard, to) ? null : NotDone(Code.NotCaughtUp, $"The replica on node {to.Value} has no vote yet, or is being repaired: it can't lead before it has caught up.", loops.Self.Value);
    }

    /// <returns>How it has ended, if it has, and what is to be said if the time is over now.</returns>
    private (TransferLeaderResponse? End, TransferLeaderResponse SoFar) Follow(ShardLoop loop, ShardId shard, NodeId to)
    {
        var soFar = new TransferLeaderResponse
        {
            Outcome = Outcome.Unknown,
            Code = Code.DeadlineExceeded,
            Reason = $"It was begun, and node {loops.Self.Value} has not heard yet that node {to.Value} leads: look who leads before trying again.",
        };
        if (loop.Find(shard) is not { FencedBecause: null } replica)
        {
            return (soFar, soFar);
        }

        soFar.Leader = replica.LeaderNode.Value;
        soFar.Term = replica.Term.Value;
        if (replica.LeaderNode == to)
        {
            TransferLeaderResponse done = Done(replica, to);
            return (done, done);
        }

        if (replica.IsLeader && !replica.IsTransferring)
        {
            // It was told to stand for election, perhaps, and the message may be on its way yet.
            soFar.Reason = $"Node {to.Value} did not take over within an election timeout: it may lack too much of the log, or not be reached. Node {loops.Self.Value} leads on.";
            return (soFar, soFar);
        }

        if (!replica.IsLeader && !replica.LeaderNode.IsNone && replica.LeaderNode != loops.Self)
        {
            TransferLeaderResponse other = NotDone(Code.NotLeader, $"Node {replica.LeaderNode.Value} was elected instead.", replica.LeaderNode.Value);

            // Not "look elsewhere": this is how the attempt has ended.
            other.Code = Code.LeadershipLost;
            other.Term = replica.Term.Value;
            return (other, other);
        }

        return (null, soFar);
    }

    private static TransferLeaderResponse Done(ShardReplica replica, NodeId leader) => new()
    {
        Outcome = Outcome.Done,
        Leader = leader.Value,
        Term = replica.Term.Value,
        Regime = replica.CurrentRegime.IsOrdered ? Contracts.V1.Regime.Ordered : Contracts.V1.Regime.Open,
    };

    /// <summary>Null: no answer, and so it may have been begun there.</summary>
    private async Task<TransferLeaderResponse?> AskAsync(NodeId node, TransferLeaderRequest request, Deadline deadline, CancellationToken cancellation)
    {
        if (loops.Router.Catalog.Members.FirstOrDefault(member => member.Node == node) is not { } member || deadline.IsOver)
        {
            return NotDone(Code.NotLeader, "");
        }

        TransferLeaderRequest asked = request.Clone();
        asked.HereOnly = true;
        using GrpcChannel channel = PeerChannel.Open(member.Address, new PeerMeshOptions());
        try
        {
            return await new Admin.AdminClient(channel).TransferLeaderAsync(asked, deadline: DateTime.UtcNow + deadline.Left, cancellationToken: cancellation);
        }
        catch (RpcException failure) when (!cancellation.IsCancellationRequested)
        {
            bool neverArrived = failure.Status.DebugException is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError }
                || failure.StatusCode is StatusCode.NotFound or StatusCode.InvalidArgument or StatusCode.Unimplemented;
            return neverArrived ? NotDone(Code.NotLeader, "") : null;
        }
    }

    private readonly struct Deadline(TimeSpan patience)
    {
        private readonly long _begin = Stopwatch.GetTimestamp();

        public TimeSpan Left => patience - Stopwatch.GetElapsedTime(_begin);

        public bool IsOver => Left <= TimeSpan.Zero;
    }
}

using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Hosting;
using KvStore.Node.Peers;

namespace KvStore.Node.Catalog;

/// <summary>
/// Asks other members who the members are: when this node joins, when it comes back, and when there is doubt, because it has refused a node that it doesn't know or was refused itself. A member that was cut off while others came could
/// not hear of it otherwise: it refuses them, and the catalog's leader may be one of them.
/// </summary>
internal sealed class MemberInquiry(string clusterId, NodeId self, MemberRoster roster, ILogger log)
{
    private static readonly TimeSpan AtStart = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan JoinPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private long _lastDoubt;
    private int _asking;

    /// <summary>Any thread: asks, in the background, at most once a second.</summary>
    public void Doubt()
    {
        long last = Volatile.Read(ref _lastDoubt);
        if ((last != 0 && Stopwatch.GetElapsedTime(last) < Pause) || Interlocked.Exchange(ref _asking, 1) != 0)
        {
            return;
        }

        Volatile.Write(ref _lastDoubt, Stopwatch.GetTimestamp());
        _ = Task.Run(async () =>
        {
            try
            {
                await AskAllAsync(Patience, CancellationToken.None);
            }
            catch (Exception failure) when (failure is not OutOfMemoryException)
            {
                // Nobody awaits this: what is not said here is said nowhere.
                CatalogLog.MembersNotAsked(log, failure);
            }
            finally
            {
                Volatile.Write(ref _asking, 0);
            }
        });
    }

    /// <summary>A node that was away asks before it serves: it may have been removed meanwhile. Nobody may be there to ask.</summary>
    public Task AskAtStartAsync(CancellationToken cancellation) => AskAllAsync(AtStart, cancellation);

    /// <summary>What a majority of the cluster says, for a node that is new. Waits for a member that answers, and for the majority.</summary>
    /// <exception cref="NodeFailureException">Nobody answers, or this node is not expected.</exception>
    public static async Task<KnownMembers> JoinAsync(NodeOptions options, CancellationToken cancellation)
    {
        long begin = Stopwatch.GetTimestamp();
        string trouble = "";
        using var pause = new PeriodicTimer(TimeSpan.FromMilliseconds(500));
        do
        {
            foreach (string address in options.Join)
            {
                try
                {
                    return Expected(await AskAsync(address, current: true, Patience, cancellation), options);
                }
                catch (RpcException failure) when (!cancellation.IsCancellationRequested)
                {
                    trouble = $"{address}: {failure.Status.Detail}";
                }
            }

            await pause.WaitForNextTickAsync(cancellation);
        }
        while (Stopwatch.GetElapsedTime(begin) < JoinPatience);

        throw new NodeFailureException(ExitCodes.Temporary, $"No member of the cluster could tell who the members are ({trouble}): check --join, and that a majority of the cluster runs.");
    }

    private static KnownMembers Expected(Membership wire, NodeOptions options)
    {
        if (wire.ClusterId != options.ClusterId)
        {
            throw new NodeFailureException(ExitCodes.Usage, $"The node that was asked belongs to cluster '{wire.ClusterId}', not to '{options.ClusterId}': check --join and --cluster.");
        }

        KnownMembers known = MemberRoster.FromWire(wire);
        var self = new NodeId(options.NodeId);
        if (known.Removed.Contains(self))
        {
            throw new NodeFailureException(ExitCodes.Removed, $"Node {self.Value} was a member of the cluster and was removed: its id is never used again. Choose another one, and an empty data directory.");
        }

        if (known.Members.FirstOrDefault(member => member.Node == self) is not { } member)
        {
            throw new NodeFailureException(ExitCodes.Usage, $"Node {self.Value} is not a member of the cluster: 'kv member add {self.Value}=HOST:PORT' first, then start it.");
        }

        if (known.Founders.Any(founder => founder.Node == self) && options.Generation == 0)
        {
            throw new NodeFailureException(ExitCodes.Usage, $"Node {self.Value} was there when the cluster was founded: if its data is lost, 'kv member replace {self.Value}' says how to go on.");
        }

        return member.Generation == options.Generation
            ? known
            : throw new NodeFailureException(ExitCodes.Usage, $"Node {self.Value} is expected as generation {member.Generation}: start it with --generation {member.Generation}.");
    }

    private async Task AskAllAsync(TimeSpan patience, CancellationToken cancellation)
    {
        KnownMembers?[] answers = await Task.WhenAll(roster.Known.Members.Where(member => member.Node != self).Select(member => TryAskAsync(member, patience, cancellation)));
        KnownMembers? newest = answers.Where(answer => answer is not null).MaxBy(answer => answer!.Revision);
        if (newest is not null && roster.Learn(newest))
        {
            CatalogLog.MembersHeard(log, newest.Revision, "another member", string.Join(' ', newest.Members.Select(member => $"{member.Node}={member.Address}")));
        }
    }

    private async Task<KnownMembers?> TryAskAsync(CatalogMember member, TimeSpan patience, CancellationToken cancellation)
    {
        try
        {
            Membership wire = await AskAsync(member.Address, current: false, patience, cancellation);

            // Another cluster of that name has other founders, most likely; it must not talk this node out of its own.
            KnownMembers known = MemberRoster.FromWire(wire);
            return wire.ClusterId == clusterId && known.Founders.SequenceEqual(roster.Known.Founders) ? known : null;
        }
        catch (Exception failure) when (failure is RpcException or UriFormatException or OperationCanceledException or ArgumentException)
        {
            return null;
        }
    }

    private static async Task<Membership> AskAsync(string address, bool current, TimeSpan patience, CancellationToken cancellation)
    {
        using GrpcChannel channel = PeerChannel.Open(address, new PeerMeshOptions());
        return await new Admin.AdminClient(channel).MembersAsync(new MembershipRequest { Current = current }, deadline: DateTime.UtcNow + patience, cancellationToken: cancellation);
    }
}

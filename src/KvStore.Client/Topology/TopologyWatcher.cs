using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client.Connections;
using KvStore.Client.Operations;
using KvStore.Client.Routing;
using KvStore.Contracts.V1;
using Microsoft.Extensions.Logging;
using WireTopology = KvStore.Contracts.V1.Topology;

namespace KvStore.Client;

/// <summary>
/// Keeps a WatchTopology stream open to one node, whichever: members and seeds in turn. What it pushes goes to the dispatcher, unless it is older than what is known or tells of another cluster.
/// </summary>
internal sealed class TopologyWatcher : IAsyncDisposable
{
    private const int MinPauseMs = 20;
    private const int MaxPauseMs = 1_000;
    private const int MinDoubtMs = 1_000;

    private readonly Dispatcher _dispatcher;
    private readonly KvClientOptions _options;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource<KvTopology> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _watching;
    private volatile CancellationTokenSource? _current;
    private long _lastDoubtMs;
    private int _turn;
    private uint _source;

    public TopologyWatcher(Dispatcher dispatcher, KvClientOptions options, ILogger log)
    {
        _dispatcher = dispatcher;
        _options = options;
        _log = log;
        _lastDoubtMs = dispatcher.Clock.NowMs;
        dispatcher.TopologyDoubted = Doubt;
        using (ExecutionContext.SuppressFlow())
        {
            _watching = Task.Run(WatchAsync);
        }
    }

    public Task<KvTopology> First => _first.Task;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _watching.ConfigureAwait(false);
        _first.TrySetCanceled();
        _stop.Dispose();
    }

    /// <summary>A node's answer shows that it, or this client, is behind. If the watched node is the one, watch another; at most once a second.</summary>
    /// <param name="node">0: whichever is watched. One that is still silent is left in peace.</param>
    private void Doubt(uint node)
    {
        uint watched = Volatile.Read(ref _source);
        long nowMs = _dispatcher.Clock.NowMs;
        long last = Volatile.Read(ref _lastDoubtMs);
        if (watched != 0 && (node == Dispatcher.AnyNode || node == watched) && nowMs - last >= MinDoubtMs && Interlocked.CompareExchange(ref _lastDoubtMs, nowMs, last) == last)
        {
            _current?.CancelAfter(TimeSpan.Zero);
        }
    }

    private async Task WatchAsync()
    {
        int failures = 0;
        while (!_stop.IsCancellationRequested)
        {
            Uri address = NextAddress();
            Overheard heard = new();
            try
            {
                await WatchAsync(address, heard, () => failures = 0).ConfigureAwait(false);
                failures++;
            }
            catch (Exception failure) when (!_stop.IsCancellationRequested)
            {
                failures++;
                _dispatcher.Seeds.OnFailed(address, EndpointAnswer.Of(failure, heard));
                ClientLog.TopologyLost(_log, address, failure is RpcException rpc ? rpc.Status.Detail : failure.Message);
            }
            catch (Exception)
            {
                return;
            }

            await PauseAsync(failures).ConfigureAwait(false);
        }
    }

    private async Task WatchAsync(Uri address, Overheard heard, Action onHeard)
    {
        _dispatcher.Seeds.OnAsked(address, heard, _dispatcher.Clock.NowMs);
        using GrpcChannel channel = ChannelFactory.Create(address, _options, hears: heard);
        CancellationTokenSource current = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        try
        {
            // A node that accepts the connection and says nothing must not hold the client up.
            current.CancelAfter(2 * _options.ConnectTimeout);
            _current = current;
            using AsyncServerStreamingCall<WireTopology> call = new Kv.KvClient(channel).WatchTopology(new WatchTopologyRequest(), cancellationToken: current.Token);
            while (await call.ResponseStream.MoveNext(current.Token).ConfigureAwait(false))
            {
                current.CancelAfter(Timeout.InfiniteTimeSpan);
                onHeard();
                Learn(call.ResponseStream.Current, address);
            }
        }
        finally
        {
            _current = null;
            Volatile.Write(ref _source, 0);
        }
    }

    private void Learn(WireTopology topology, Uri address)
    {
        ClusterMap? known = _dispatcher.Map;
        if (known is not null && known.Public.ClusterId != topology.ClusterId)
        {
            ClientLog.ForeignCluster(_log, address, topology.ClusterId, known.Public.ClusterId);
            return;
        }

        Volatile.Write(ref _source, topology.Node);
        if (ClusterMap.Advance(known, topology) is not { } map)
        {
            return;
        }

        if (known?.Public.Revision != topology.Revision)
        {
            ClientLog.TopologyLearnt(_log, topology.Revision, topology.ClusterId, topology.Node, topology.Members.Count, topology.Keyspaces.Count);
        }

        _dispatcher.Learn(map);
        _first.TrySetResult(map.Public);
    }

    private Uri NextAddress()
    {
        IReadOnlyList<KvMember> members = _dispatcher.Map?.Public.Members ?? [];
        int turn = _turn++ % (members.Count + _options.Endpoints.Count);
        Uri seed = new(_options.Endpoints[0]);
        return turn < members.Count ? new Uri($"{seed.Scheme}://{members[turn].Address}") : new Uri(_options.Endpoints[turn - members.Count]);
    }

    private async Task PauseAsync(int failures)
    {
        int ceiling = Math.Min(MaxPauseMs, MinPauseMs << Math.Min(Math.Max(0, failures - 1), 8));
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(Random.Shared.Next((ceiling + 1) / 2, ceiling + 1)), _dispatcher.Clock.Time);
        try
        {
            await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The loop sees the same token.
        }
    }
}

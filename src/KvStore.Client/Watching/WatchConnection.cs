using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>One stream of one node, from its opening to its end, whose failures are values.</summary>
internal sealed class WatchConnection : IDisposable
{
    /// <summary>A node says at least every 15 s that it lives.</summary>
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(45);

    private readonly CancellationTokenSource _patience;
    private readonly AsyncServerStreamingCall<WatchBatch> _call;
    private readonly CancellationToken _cancellation;

    public WatchConnection(GrpcChannel channel, WatchRequest request, TimeSpan patience, CancellationToken cancellation)
    {
        _cancellation = cancellation;
        _patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _patience.CancelAfter(patience);
        _call = new Kv.KvClient(channel).Watch(request, cancellationToken: _patience.Token);
    }

    /// <summary>Why there is no next batch.</summary>
    public RpcException? Failure { get; private set; }

    /// <summary>The next batch; null: the stream has ended.</summary>
    /// <exception cref="OperationCanceledException">The caller has given up.</exception>
    public async ValueTask<WatchBatch?> NextAsync()
    {
        try
        {
            if (!await _call.ResponseStream.MoveNext(_patience.Token).ConfigureAwait(false))
            {
                return null;
            }

            _patience.CancelAfter(LongestSilence);
            return _call.ResponseStream.Current;
        }
        catch (Exception broken) when (broken is RpcException or OperationCanceledException)
        {
            _cancellation.ThrowIfCancellationRequested();
            Failure = broken as RpcException ?? new RpcException(new Status(StatusCode.Unavailable, "The node was silent for too long."));
            return null;
        }
    }

    public void Dispose()
    {
        _call.Dispose();
        _patience.Dispose();
    }
}

using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;

namespace KvStore.Node.Watching;

/// <summary>Shards that have no replica here, watched at a node that has. If that breaks, the whole stream ends, and its client resumes it where it likes.</summary>
internal sealed class WatchRelay(GrpcChannel channel, WatchRequest request, uint node)
{
    public async Task RunAsync(WatchStream stream, CancellationToken cancellation)
    {
        try
        {
            using AsyncServerStreamingCall<WatchBatch> call = new Kv.KvClient(channel).Watch(request, cancellationToken: cancellation);
            while (await call.ResponseStream.MoveNext(cancellation))
            {
                await stream.RelayAsync(call.ResponseStream.Current, cancellation);
            }

            await EndAsync(stream, $"Node {node}, which has the shard, has ended the stream.", cancellation);
        }
        catch (RpcException broken) when (!cancellation.IsCancellationRequested)
        {
            await EndAsync(stream, $"Node {node}, which has the shard: {broken.Status.Detail}", cancellation);
        }
        catch (Exception gone) when (gone is OperationCanceledException or RpcException)
        {
            // The client has gone.
        }
    }

    private async Task EndAsync(WatchStream stream, string reason, CancellationToken cancellation)
    {
        var ended = new WatchEvent { Kind = WatchEventKind.Ended, Shard = request.Shards[0], Code = Code.NoLeader, Reason = reason, Position = ByteString.Empty };
        try
        {
            await stream.RelayAsync(new WatchBatch { Events = { ended } }, cancellation);
        }
        catch (OperationCanceledException)
        {
            // The client has gone.
        }
    }
}

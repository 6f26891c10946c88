using Grpc.Core;
using KvStore.Contracts.Pipeline;
using KvStore.Node.Loops;

namespace KvStore.Node.Clients;

/// <summary>
/// kvstore.v1.KvPipeline. The path of a put: <see cref="ClientConnection.Handle"/> decodes and routes it, <see cref="ShardLoop"/> submits it to its ShardReplica, the replica proposes or mints,
/// the loop delivers the completion back to the connection, and the connection's next frame carries it.
/// </summary>
internal sealed class PipelineService(LoopSet loops) : KvPipelineServiceBase
{
    public override async Task Run(IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<RawFrame> responses, ServerCallContext context)
    {
        string cluster = loops.Router.Catalog.ClusterId;
        if (context.RequestHeaders.GetValue(PipelineMethods.ClusterHeader) is { } meant && meant != PipelineMethods.ClusterMarkOf(cluster))
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition, $"This node belongs to cluster '{cluster}', not to the one that the caller has learnt of; correct the caller's endpoints."));
        }

        HttpContext http = context.GetHttpContext();
        var connection = new ClientConnection(responses, loops, http.Abort);
        CancellationToken cancellation = context.CancellationToken;
        try
        {
            while (await requests.MoveNext(cancellation))
            {
                connection.Handle(requests.Current);
                await connection.WaitForRoomAsync(cancellation);
            }

            await connection.DrainAsync(cancellation);
        }
        catch (MalformedFrameException malformed)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, malformed.Message));
        }
        catch (Exception gone) when (gone is OperationCanceledException or IOException)
        {
            // The client went away, which is how these streams end.
        }
        finally
        {
            connection.Close();
        }
    }
}

using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;
using KvStore.Cli.Running;

namespace KvStore.Cli.LocalCluster;

/// <summary>What a node answers when asked whether it serves.</summary>
internal enum Readiness
{
    Unreachable,
    NotServing,
    Serving,
}

/// <summary>Asks a node by the standard gRPC health service.</summary>
internal sealed class HealthProbe(Uri endpoint) : IDisposable
{
    private readonly GrpcChannel _channel = GrpcChannel.ForAddress(endpoint);

    /// <summary>One question, answered within the given time.</summary>
    public async Task<(Readiness Readiness, string Detail)> AskAsync(TimeSpan within, CancellationToken stop)
    {
        try
        {
            var answer = await new Health.HealthClient(_channel).CheckAsync(
                new HealthCheckRequest(), deadline: DateTime.UtcNow + within, cancellationToken: stop);
            return answer.Status == HealthCheckResponse.Types.ServingStatus.Serving
                ? (Readiness.Serving, "serving")
                : (Readiness.NotServing, "not serving yet");
        }
        catch (RpcException) when (stop.IsCancellationRequested)
        {
            throw new OperationCanceledException(stop);
        }
        catch (RpcException exception)
        {
            return exception.StatusCode == StatusCode.Unimplemented
                ? (Readiness.NotServing, "answers, but is not a KvStore node")
                : (Readiness.Unreachable, exception.StatusCode == StatusCode.DeadlineExceeded ? "no answer in time" : "no connection");
        }
    }

    /// <summary>Waits until a node serves.</summary>
    /// <exception cref="CliFailure">It ended, or the deadline passed.</exception>
    public static async Task WaitAsync(NodeProcess node, TimeSpan deadline, CancellationToken stop)
    {
        using var probe = new HealthProbe(node.Endpoint);
        using var retry = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        var begin = TimeProvider.System.GetTimestamp();
        var detail = "";
        do
        {
            if (node.HasExited)
            {
                throw new CliFailure(ExitCode.Failed, node.DescribeExit());
            }

            (var readiness, detail) = await probe.AskAsync(TimeSpan.FromSeconds(2), stop);
            if (readiness == Readiness.Serving)
            {
                return;
            }
        }
        while (TimeProvider.System.GetElapsedTime(begin) < deadline && await retry.WaitForNextTickAsync(stop));

        throw new CliFailure(
            ExitCode.Failed, $"Node {node.Node} at {node.Endpoint} was not healthy within {Quantities.Describe(deadline)} ({detail}); see its log {node.LogFile}.");
    }

    public void Dispose() => _channel.Dispose();
}

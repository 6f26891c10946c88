using Grpc.Health.V1;
using Grpc.HealthCheck;

namespace KvStore.Node.Hosting;

/// <summary>What the parts of a node say about the whole: whether it serves, and that it can't go on.</summary>
public sealed class NodeLifetime
{
    private readonly TaskCompletionSource<Exception> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HealthServiceImpl _health = new();
    private readonly ILogger _log;

    public NodeLifetime(ILogger<NodeLifetime> log)
    {
        _log = log;
        _health.SetStatus("", HealthCheckResponse.Types.ServingStatus.NotServing);
    }

    /// <summary>Completes with the reason when a part of the node can't go on (a failed fsync, a broken log). The process then ends.</summary>
    public Task<Exception> Failed => _failed.Task;

    /// <summary>As last set by <see cref="SetReady"/>.</summary>
    public bool IsReady { get; private set; }

    internal HealthServiceImpl Health => _health;

    /// <summary>Whether load balancers may send clients here: grpc.health.v1 says SERVING.</summary>
    public void SetReady(bool ready)
    {
        IsReady = ready;
        _health.SetStatus("", ready ? HealthCheckResponse.Types.ServingStatus.Serving : HealthCheckResponse.Types.ServingStatus.NotServing);
        HostLog.Readiness(_log, ready);
    }

    /// <summary>Only the first failure counts.</summary>
    public void Fail(Exception failure)
    {
        if (_failed.TrySetResult(failure))
        {
            HostLog.Fatal(_log, failure);
        }
    }
}

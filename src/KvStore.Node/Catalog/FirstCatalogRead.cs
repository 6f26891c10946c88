using System.Diagnostics;
using Grpc.Core;

namespace KvStore.Node.Catalog;

/// <summary>
/// Asks the system shard, once after each start, what the catalog is by now, and waits until this node has it. Before that the node knows what it was configured with and what its disk had: it serves the keyspaces that it knows,
/// and tells nobody that another one does not exist (<see cref="ShardRouter.HasReadCatalog"/>). Without a majority of the system shard it stays so.
/// </summary>
internal sealed class FirstCatalogRead(KeyspaceAdmin catalogs, TopologyFeed topology, ILogger log) : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    /// <summary>How long a start waits for the catalog, and for how much of that without having heard a majority of the members.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AlonePatience = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _read = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Start() => _ = Task.Run(ReadAsync);

    /// <summary>
    /// Completes when the catalog was read and what it places here is on its way, or when it can't be had for now: a node that is back knows only then which of its replicas have to copy their data.
    /// </summary>
    public async Task WaitAsync(Func<bool> majorityIsUp, CancellationToken cancellation)
    {
        long begin = Stopwatch.GetTimestamp();
        for (TimeSpan waited = default; waited < Patience && (waited < AlonePatience || majorityIsUp()); waited = Stopwatch.GetElapsedTime(begin))
        {
            if (await Task.WhenAny(_read.Task, Task.Delay(Look, cancellation)) == _read.Task)
            {
                return;
            }

            cancellation.ThrowIfCancellationRequested();
        }
    }

    /// <summary>What is under way ends by itself; nothing waits for it.</summary>
    public void Dispose() => _stop.Cancel();

    private async Task ReadAsync()
    {
        using var pause = new PeriodicTimer(Pause);
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                (ClusterCatalog catalog, _) = await catalogs.ReadAsync(_stop.Token);
                await topology.WaitForRevisionAsync(catalog.Revision, _stop.Token);
                topology.SetCatalogRead();
                _read.TrySetResult();
                return;
            }
            catch (RpcException)
            {
                // No leader yet, or no majority.
                await pause.WaitForNextTickAsync(CancellationToken.None);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception failure) when (failure is not OutOfMemoryException)
            {
                // A catalog that can't be understood, say. Nobody awaits this task: it must be heard of, and tried again.
                CatalogLog.CatalogUnread(log, failure);
                await pause.WaitForNextTickAsync(CancellationToken.None);
            }
        }
    }
}

using KvStore.Cli.Bench.Load;
using KvStore.Cli.LocalCluster;
using KvStore.Client;

namespace KvStore.Benchmarks.Compare;

/// <summary>Three nodes as <c>kv up</c> starts them, with default settings, and a client; a keyspace for each row of the comparison.</summary>
internal sealed class KvCluster : IAsyncDisposable
{
    private const int Nodes = 3;

    /// <summary>How many operations the caller with a batch has in flight.</summary>
    public const int Batch = 100;

    private readonly Func<ValueTask> _stop;
    private readonly KvClient _client;

    private KvCluster(KvClient client, Func<ValueTask> stop) => (_client, _stop) = (client, stop);

    public static async Task<KvCluster> StartAsync(string directory, int firstPort, CancellationToken stop)
    {
        ClusterDirectory place = new(Path.Combine(directory, "kv"));
        ClusterPlan plan = ClusterPlan.Settle(place, Nodes, firstPort, engine: null);
        plan.Save(place);
        LocalClusterProcesses processes = await LocalClusterProcesses.StartAsync(place, plan, faultInjection: false, detached: false, stop);
        return new KvCluster(KvClient.Create([.. processes.Nodes.Select(node => node.ToRunning().Address)]), async () =>
        {
            await processes.StopAsync();
            processes.Dispose();
        });
    }

    /// <summary>The same with the nodes of another build, or with other variables in their environment.</summary>
    /// <param name="directory">Where its data goes.</param>
    /// <param name="program">The <c>kv.dll</c> of the build.</param>
    /// <param name="variables">NAME=VALUE each.</param>
    /// <param name="firstPort">The nodes' ports begin here.</param>
    /// <param name="stop">Ends the waiting.</param>
    public static async Task<KvCluster> StartAsync(string directory, string program, IReadOnlyList<string> variables, int firstPort, CancellationToken stop)
    {
        string[] command = ["env", .. variables, "dotnet", program, "up", "--nodes", $"{Nodes}", "--port", $"{firstPort}", "--http-port", "0", "--data", Path.Combine(directory, "data")];
        PeerProcess up = PeerProcess.Start(directory, command, isAskedToEnd: true);
        string[] endpoints = [.. Enumerable.Range(firstPort, Nodes).Select(port => $"http://127.0.0.1:{port}")];
        KvClient client = KvClient.Create(endpoints);
        await PeerProcess.UntilAsync("the nodes", () => AllAnswerAsync(client, stop), stop);
        return new KvCluster(client, up.DisposeAsync);
    }

    private static async Task<bool> AllAnswerAsync(KvClient client, CancellationToken stop)
    {
        try
        {
            for (uint node = 1; node <= Nodes; node++)
            {
                await client.Admin.NodeStatusAsync(node, cancellationToken: stop);
            }

            return true;
        }
        catch (KvException)
        {
            return false;
        }
    }

    /// <summary>Creates a keyspace of three replicas with 8 shards, and writes all its keys.</summary>
    public async Task<KvLoad> LoadAsync(KvKeyspaceSettings settings, KvReadLevel level, CancellationToken stop)
    {
        await _client.Admin.CreateKeyspaceAsync(settings with { Replicas = Nodes }, stop);
        KvLoad load = new(_client.Keyspace(settings.Name), Workload.Keys, Workload.ValueBytes, level);
        await load.FillAsync(64, stop);
        return load;
    }

    /// <summary>One operation that is a batch: so many puts are begun, then all are awaited.</summary>
    public static LoadOperation InBatches(LoadOperation operation) => async (worker, random) =>
    {
        ValueTask<LoadOutcome>[] batch = new ValueTask<LoadOutcome>[Batch];
        for (int one = 0; one < Batch; one++)
        {
            batch[one] = operation(worker, random + (ulong)one);
        }

        LoadOutcome outcome = LoadOutcome.Done;
        foreach (ValueTask<LoadOutcome> one in batch)
        {
            LoadOutcome ended = await one;
            outcome = ended.Kind == LoadOutcomeKind.Done ? outcome : ended;
        }

        return outcome;
    };

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await _stop();
    }
}

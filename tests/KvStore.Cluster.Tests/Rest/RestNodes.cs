using System.Diagnostics;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Rest;

/// <summary>Three nodes with an HTTP face, a cp keyspace "orders" and an ap keyspace "carts".</summary>
public sealed class RestNodes : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    public KvTestCluster Cluster { get; private set; } = null!;

    /// <summary>Speaks to the second node.</summary>
    public HttpClient Http { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { InMemory = true, Http = true });
        await Cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync);
        await Cluster.CreateKeyspaceAsync("carts", PartitionPolicy.Ap, Replication.Sync);
        Http = new HttpClient { BaseAddress = Cluster.Node(2).HttpAddress };
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Cluster.DisposeAsync();
    }

    /// <summary>Asks again until the answer is as wanted: the detector needs a moment to see a cut.</summary>
    public async Task<HttpResponseMessage> UntilAsync(Func<Task<HttpResponseMessage>> ask, Func<HttpResponseMessage, bool> wanted)
    {
        long begun = Stopwatch.GetTimestamp();
        while (true)
        {
            HttpResponseMessage answer = await ask();
            if (wanted(answer))
            {
                return answer;
            }

            if (Stopwatch.GetElapsedTime(begun) > Deadline)
            {
                throw new TimeoutException($"The last answer was {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
            }
        }
    }
}

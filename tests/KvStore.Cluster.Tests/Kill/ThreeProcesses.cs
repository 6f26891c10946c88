using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Kill;

/// <summary>Three node processes for all tests of a class, each of which makes keyspaces of its own.</summary>
public sealed class ThreeProcesses : IAsyncLifetime
{
    public KvProcessCluster Cluster { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Cluster = await KvProcessCluster.StartAsync();

    public async ValueTask DisposeAsync() => await Cluster.DisposeAsync();
}

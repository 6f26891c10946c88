using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Cluster tests run one at a time: they share two cores with everything else.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ClusterCollection
{
    public const string Name = "clusters";
}

/// <summary>One three-node cluster for all tests of a class, each of which heals it first and makes keyspaces of its own.</summary>
public sealed class ThreeNodes : IAsyncLifetime
{
    private int _keyspaces;

    public KvTestCluster Cluster { get; private set; } = null!;

    /// <summary>The nodes' last log lines, shown when a test fails.</summary>
    public RecentLines Log { get; } = new();

    public async ValueTask InitializeAsync() => Cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Log = Log.Add });

    public async ValueTask DisposeAsync() => await Cluster.DisposeAsync();

    public string NewName(string prefix) => $"{prefix}-{Interlocked.Increment(ref _keyspaces)}";
}

/// <summary>Keeps the last lines that the nodes logged.</summary>
public sealed class RecentLines
{
    private const int Kept = 400;

    private readonly Queue<string> _lines = new();
    private readonly Lock _gate = new();

    public void Add(string line)
    {
        lock (_gate)
        {
            if (_lines.Count == Kept)
            {
                _lines.Dequeue();
            }

            _lines.Enqueue(line);
        }
    }

    public override string ToString()
    {
        lock (_gate)
        {
            return string.Join(Environment.NewLine, _lines);
        }
    }
}

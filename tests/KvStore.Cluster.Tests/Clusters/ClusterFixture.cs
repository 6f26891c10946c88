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
public class ThreeNodes : IAsyncLifetime
{
    private int _keyspaces;

    public KvTestCluster Cluster { get; private set; } = null!;

    /// <summary>The nodes' last log lines, shown when a test fails.</summary>
    public RecentLines Log { get; } = new();

    protected virtual KvTestClusterOptions Options => new();

    public async ValueTask InitializeAsync() => Cluster = await KvTestCluster.StartAsync(Options with { Log = Log.Add });

    public async ValueTask DisposeAsync()
    {
        await Cluster.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    public string NewName(string prefix) => $"{prefix}-{Interlocked.Increment(ref _keyspaces)}";

    /// <summary>Removes all faults and waits until the nodes have noticed.</summary>
    public async Task HealAsync()
    {
        await Cluster.HealAsync();
        await Cluster.WaitUntilWholeAsync();
    }

    /// <summary>Shows the nodes' log of a failed test.</summary>
    public ValueTask TellIfFailed(ITestOutputHelper output)
    {
        if (TestContext.Current.TestState?.Result == TestResult.Failed)
        {
            output.WriteLine(Log.ToString());
        }

        return ValueTask.CompletedTask;
    }
}

/// <summary>Elections that are quick enough for many troubles in a row, and slow enough for a busy machine.</summary>
public sealed class QuickNodes : ThreeNodes
{
    protected override KvTestClusterOptions Options => new()
    {
        HeartbeatInterval = TimeSpan.FromMilliseconds(50),
        ElectionTimeoutMin = TimeSpan.FromMilliseconds(500),
        ElectionTimeoutMax = TimeSpan.FromMilliseconds(1_000),
    };
}

/// <summary>The timeouts of production.</summary>
public sealed class ProductionNodes : ThreeNodes
{
    protected override KvTestClusterOptions Options => new()
    {
        HeartbeatInterval = TimeSpan.FromMilliseconds(50),
        ElectionTimeoutMin = TimeSpan.FromMilliseconds(400),
        ElectionTimeoutMax = TimeSpan.FromMilliseconds(700),
    };
}

/// <summary>More nodes than replicas of a shard, in memory.</summary>
public sealed class FiveNodes : ThreeNodes
{
    protected override KvTestClusterOptions Options => new() { Nodes = 5, InMemory = true };
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

namespace KvStore.Cli.LocalCluster;

/// <summary>Where a local cluster keeps what it needs: the data of each node, their logs, its plan, and who is running.</summary>
internal sealed class ClusterDirectory(string path)
{
    /// <summary>Relative to the working directory, so that each project has a cluster of its own.</summary>
    public static readonly string Default = Path.Combine("data", "local-cluster");

    public string Root { get; } = Path.GetFullPath(path);

    public string PlanFile => Path.Combine(Root, "cluster.json");

    public string RunningFile => Path.Combine(Root, "running.json");

    /// <summary>Whether it is where 'kv' looks by itself.</summary>
    public bool IsDefault => Root == Path.GetFullPath(Default);

    public string NodeData(int node) => Path.Combine(Root, $"node-{node}");

    public string NodeLog(int node) => Path.Combine(Root, "logs", $"node-{node}.log");
}

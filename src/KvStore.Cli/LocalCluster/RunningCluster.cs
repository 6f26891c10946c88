using System.Text.Json;

namespace KvStore.Cli.LocalCluster;

/// <summary>One node process of a local cluster.</summary>
/// <param name="Node">Its number, from 1.</param>
/// <param name="Address">Where clients reach it, a URL.</param>
/// <param name="Pid">Its process.</param>
/// <param name="Started">What tells this process from a later one with the same number; see <see cref="ProcessIdentity"/>.</param>
internal sealed record RunningNode(int Node, string Address, int Pid, string Started)
{
    public bool IsAlive => ProcessIdentity.Of(Pid) is { } now && now == Started;
}

/// <summary>Which processes of a local cluster were started: lets other commands find it, and <c>kv down</c> stop it.</summary>
internal sealed record RunningCluster(bool Background, DateTimeOffset StartedAt, IReadOnlyList<RunningNode> Nodes)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <summary>The cluster of a directory, reduced to the nodes that live; null when none does.</summary>
    public static RunningCluster? Load(ClusterDirectory directory)
    {
        try
        {
            if (!File.Exists(directory.RunningFile))
            {
                return null;
            }

            var written = JsonSerializer.Deserialize<RunningCluster>(File.ReadAllText(directory.RunningFile), Json);
            var alive = written?.Nodes.Where(node => node.IsAlive).ToArray() ?? [];
            return alive.Length == 0 ? null : written! with { Nodes = alive };
        }
        catch (JsonException)
        {
            // A file that was half written when its writer was killed says as little as none.
            return null;
        }
    }

    public void Save(ClusterDirectory directory)
    {
        var temporary = directory.RunningFile + ".new";
        File.WriteAllText(temporary, JsonSerializer.Serialize(this, Json) + "\n");
        File.Move(temporary, directory.RunningFile, overwrite: true);
    }

    public static void Forget(ClusterDirectory directory)
    {
        if (File.Exists(directory.RunningFile))
        {
            File.Delete(directory.RunningFile);
        }
    }
}

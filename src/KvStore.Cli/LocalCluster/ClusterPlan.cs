using System.Text.Json;
using System.Text.Json.Serialization;
using KvStore.Cli.Running;

namespace KvStore.Cli.LocalCluster;

/// <summary>What a local cluster is made of. Written once into its directory; a later start must agree with it, because the data does.</summary>
/// <param name="Cluster">The cluster's name: random, so that nodes of two local clusters never take one another for peers.</param>
/// <param name="Nodes">How many nodes, 1 to 9.</param>
/// <param name="Port">The port of node 1; node n listens on this plus n - 1.</param>
/// <param name="Engine">rocksdb or memory.</param>
/// <param name="HttpPort">The port of node 1 for HTTP/1.1 (REST, health, metrics), as <paramref name="Port"/>; null: none.</param>
internal sealed record ClusterPlan(string Cluster, int Nodes, int Port, string Engine, int? HttpPort = null)
{
    /// <summary>Further flags of each node; of this start only, not written down.</summary>
    [JsonIgnore]
    public IReadOnlyList<string> Flags { get; init; } = [];

    /// <summary>From the first port to the first HTTP port, where nothing else is asked for: 7001 and 8001.</summary>
    public const int HttpOffset = 1_000;

    public const int DefaultNodes = 3;

    public const int MaxNodes = 9;

    public const int DefaultPort = 7001;

    public const string DefaultEngine = "rocksdb";

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    public int PortOf(int node) => Port + node - 1;

    public string AddressOf(int node) => $"127.0.0.1:{PortOf(node)}";

    public string? HttpAddressOf(int node) => HttpPort is { } first ? $"127.0.0.1:{first + node - 1}" : null;

    public Uri EndpointOf(int node) => new("http://" + AddressOf(node));

    /// <summary>The plan of a directory that was used before, with what is asked for now; a new plan for a new directory.</summary>
    /// <exception cref="CliFailure">The directory holds another cluster than the one asked for, or its plan can't be read.</exception>
    public static ClusterPlan Settle(ClusterDirectory directory, int? nodes, int? port, string? engine)
    {
        if (Load(directory) is not { } existing)
        {
            return new ClusterPlan($"local-{Random.Shared.Next():x8}", nodes ?? DefaultNodes, port ?? DefaultPort, engine ?? DefaultEngine);
        }

        Agree(directory, "nodes", existing.Nodes, nodes, "--nodes");
        Agree(directory, "first port", existing.Port, port, "--port");
        Agree(directory, "engine", existing.Engine, engine, "--engine");
        return existing;
    }

    public void Save(ClusterDirectory directory)
    {
        Directory.CreateDirectory(directory.Root);
        File.WriteAllText(directory.PlanFile, JsonSerializer.Serialize(this, Json) + "\n");
    }

    private static ClusterPlan? Load(ClusterDirectory directory)
    {
        try
        {
            return File.Exists(directory.PlanFile) ? JsonSerializer.Deserialize<ClusterPlan>(File.ReadAllText(directory.PlanFile), Json) : null;
        }
        catch (JsonException)
        {
            throw new CliFailure(ExitCode.NoInput, $"{directory.PlanFile} is damaged; restore it, or give another directory with --data.");
        }
    }

    private static void Agree<T>(ClusterDirectory directory, string what, T existing, T? wanted, string option)
    {
        if (wanted is not null && !wanted.Equals(existing))
        {
            throw CliFailure.Usage(
                $"{directory.Root} holds a cluster whose {what} is {existing}, not {wanted}; leave {option} out to start it as it is, or give another directory with --data.");
        }
    }

    private static void Agree(ClusterDirectory directory, string what, int existing, int? wanted, string option)
    {
        if (wanted is { } number)
        {
            Agree<object>(directory, what, existing, number, option);
        }
    }
}

using System.Globalization;
using KvStore.Cli.Bench.Rig;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Overload;

/// <summary>Whether a cluster keeps its calm: terms, leaders, how the nodes hear one another, and their memory, looked at once a second and compared with the beginning.</summary>
internal sealed class ClusterCalm
{
    private readonly OwnCluster _cluster;
    private readonly Dictionary<(string Keyspace, uint Shard), (ulong Term, uint Leader)> _atFirst;
    private readonly long[] _lossesAtFirst;
    private readonly long[] _residentAtFirst;
    private readonly long[] _residentMost;
    private readonly List<double> _phi = [];
    private Dictionary<(string Keyspace, uint Shard), (ulong Term, uint Leader)> _now;
    private long[] _losses;
    private int _notUp;
    private int _silent;

    private ClusterCalm(OwnCluster cluster, List<NodeStatusResponse> nodes)
    {
        _cluster = cluster;
        _atFirst = _now = Groups(nodes);
        _lossesAtFirst = _losses = Losses(nodes);
        _residentAtFirst = Resident();
        _residentMost = [.. _residentAtFirst];
    }

    public static async Task<ClusterCalm> BeginAsync(OwnCluster cluster, CancellationToken stop) => new(cluster, await LookAsync(cluster, stop));

    /// <summary>Looks once a second until the token is cancelled, and once more then.</summary>
    public async Task WatchAsync(CancellationToken end, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        while (!end.IsCancellationRequested)
        {
            await LookAsync(stop);
            await timer.WaitForNextTickAsync(stop);
        }

        await LookAsync(stop);
    }

    public IEnumerable<string> Lines()
    {
        var elections = _atFirst.Count(group => _now[group.Key].Term != group.Value.Term);
        var terms = _atFirst.Sum(group => (long)(_now[group.Key].Term - group.Value.Term));
        var leaders = _atFirst.Count(group => _now[group.Key].Leader != group.Value.Leader);
        yield return Text($"  elections: {elections} of {_atFirst.Count} groups had one ({terms} new terms), {leaders} have another leader");
        yield return Text($"  heartbeats: a peer was lost {_losses.Sum() - _lossesAtFirst.Sum()} times; of {_phi.Count} looks at a peer {_notUp} found it suspect or down, highest phi {(_phi.Count == 0 ? 0 : _phi.Max()):0.0}; {_silent} times a node did not tell");
        var now = Resident();
        for (var node = 0; node < now.Length; node++)
        {
            yield return Text($"  node {node + 1}: resident {_residentAtFirst[node] >> 20:N0} MiB before, {_residentMost[node] >> 20:N0} at the most, {now[node] >> 20:N0} now");
        }
    }

    private async Task LookAsync(CancellationToken stop)
    {
        var resident = Resident();
        for (var node = 0; node < resident.Length; node++)
        {
            _residentMost[node] = Math.Max(_residentMost[node], resident[node]);
        }

        try
        {
            var nodes = await LookAsync(_cluster, stop);
            (_now, _losses) = (Groups(nodes), Losses(nodes));
            _phi.AddRange(nodes.SelectMany(node => node.Peers).Select(peer => peer.Phi));
            _notUp += nodes.Sum(node => node.Peers.Count(peer => peer.Reachability != Reachability.Up));
        }
        catch (KvException)
        {
            _silent++;
        }
    }

    private static async Task<List<NodeStatusResponse>> LookAsync(OwnCluster cluster, CancellationToken stop)
    {
        var nodes = new List<NodeStatusResponse>();
        foreach (var node in cluster.Nodes)
        {
            nodes.Add(await cluster.Client.Admin.NodeStatusAsync((uint)node.Node, replicas: true, stop));
        }

        return nodes;
    }

    private long[] Resident() => [.. _cluster.Read().Select(node => node.ResidentBytes)];

    private static long[] Losses(List<NodeStatusResponse> nodes) => [.. nodes.Select(node => node.Peers.Sum(peer => (long)peer.Losses))];

    /// <summary>The highest term of each group, and who leads it in that term.</summary>
    private static Dictionary<(string Keyspace, uint Shard), (ulong Term, uint Leader)> Groups(List<NodeStatusResponse> nodes) =>
        nodes.SelectMany(node => node.Replicas).GroupBy(replica => (replica.Keyspace, replica.Shard)).ToDictionary(
            group => group.Key,
            group => group.OrderBy(replica => replica.Term).ThenBy(replica => replica.Leader).Select(replica => (replica.Term, replica.Leader)).Last());

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

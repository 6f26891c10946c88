using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Checks;

/// <summary>What every replica of an open shard answers for every key, read in the ordinary way: values and versions.</summary>
internal sealed class OpenDumps
{
    private readonly SimulatedCluster _cluster;
    private int _missing;

    public OpenDumps(SimulatedCluster cluster, IReadOnlyList<SimulatedNode> nodes)
    {
        _cluster = cluster;
        foreach (SimulatedNode node in nodes)
        {
            int place = Contents.Count;
            Contents.Add(new ReplicaDump(node.Id.ToString()));
            Values.Add(new ReplicaDump(node.Id.ToString()));
            for (int key = 0; key < cluster.Settings.Keys; key++)
            {
                _missing++;
                Ask(node, place, key);
            }
        }
    }

    /// <summary>Last-writer-wins: values that lost and are still there.</summary>
    public int LosersLeft { get; private set; }

    public bool AreComplete => _missing == 0;

    /// <summary>Values together with versions: equal everywhere.</summary>
    public List<ReplicaDump> Contents { get; } = [];

    public List<ReplicaDump> Values { get; } = [];

    private void Ask(SimulatedNode node, int place, int key)
    {
        var get = new ClientOperation
        {
            Kind = OperationKind.Get,
            Level = ReadLevel.Eventual,
            Key = ClientKeys.Bytes(key),
            DeadlineMs = _cluster.Timeline.NowMs + 5_000,
        };
        _cluster.Submit(node, get, (_, answer) =>
        {
            if (answer.Outcome != Outcome.Done)
            {
                Ask(node, place, key);
                return;
            }

            _missing--;
            LosersLeft += answer.HiddenLosers;
            IReadOnlyList<string> values = OpenClient.ValuesOf(answer);
            foreach (string value in values)
            {
                Values[place].Add(ClientKeys.Text(key), value);
            }

            Contents[place].Add(ClientKeys.Text(key), $"{string.Join(",", values)} at {Convert.ToHexString(answer.Version.Span)}");
        });
    }
}

using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Simulator.Clients;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clusters;

/// <summary>What every replica of a keyspace answers for every key that it holds, asked at its own node in the ordinary way: values and versions.</summary>
internal sealed class LocalReads
{
    private readonly World _world;
    private readonly KeyspaceSettings _keyspace;
    private int _missing;

    public LocalReads(World world, KeyspaceSettings keyspace)
    {
        _world = world;
        _keyspace = keyspace;
        for (int key = 0; key < world.Settings.Keys; key++)
        {
            var shard = new ShardId(keyspace.Id, KeyRouting.ShardOf(ClientKeys.Bytes(key).Span, keyspace.Shards));
            List<ReplicaDump> dumps = [];
            Contents.Add(dumps);
            foreach (ClusterNode node in world.Nodes.Where(node => node.Replicas.Any(replica => replica.Descriptor.Shard == shard)))
            {
                var dump = new ReplicaDump(node.Id.ToString());
                dumps.Add(dump);
                _missing++;
                Ask(node, key, dump, isFirst: dumps.Count == 1);
            }
        }
    }

    public bool AreComplete => _missing == 0;

    /// <summary>By key: what each replica of its shard has, values together with versions.</summary>
    public List<List<ReplicaDump>> Contents { get; } = [];

    /// <summary>The values alone, of the first replica of each key.</summary>
    public ReplicaDump Values { get; } = new("the end");

    private void Ask(ClusterNode node, int key, ReplicaDump dump, bool isFirst)
    {
        ServerConnection? connection = null;
        connection = node.Connect(frame => Take(node, connection!, key, dump, isFirst, frame), () => Ask(node, key, dump, isFirst));
        var get = new WireOperation
        {
            CallId = 1,
            Kind = OperationKind.Get,
            Level = ReadLevel.Eventual,
            KeyspaceId = _keyspace.Id,
            Epoch = 1,
            Key = ClientKeys.Bytes(key),
            DeclineForwarding = true,
            TimeoutMs = 2_000,
        };
        var buffer = new FrameBuffer(KvLimits.MaxMessageBytes);
        PipelineCodec.WriteOperation(buffer, get);
        connection.Handle(buffer.WrittenSpan.ToArray());
    }

    private void Take(ClusterNode node, ServerConnection connection, int key, ReplicaDump dump, bool isFirst, byte[] frame)
    {
        node.Disconnect(connection);
        var reader = new ResultBatchReader(frame);
        if (!reader.MoveNext(out WireResult answer) || answer.Outcome != Outcome.Done)
        {
            _world.Timeline.After(50_000, () => Ask(node, key, dump, isFirst));
            return;
        }

        _missing--;
        IReadOnlyList<string> values = ClusterWorker.ValuesOf(answer);
        dump.Add(ClientKeys.Text(key), $"{string.Join(",", values)} at {Convert.ToHexString(answer.Version.Span)}");
        if (isFirst)
        {
            foreach (string value in values)
            {
                Values.Add(ClientKeys.Text(key), value);
            }
        }
    }
}

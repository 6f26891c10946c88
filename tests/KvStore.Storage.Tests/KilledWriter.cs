using System.Globalization;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.Tests;

/// <summary>
/// The process that dies: appends numbered entries to two shards, applies them, seals now and then, and prints what was acknowledged. Entry i of a shard sets key i % 50 to i.
/// </summary>
public static class KilledWriter
{
    public const string Argument = "--killed-writer";
    public const int Keys = 50;

    private static readonly ShardId[] Shards = [new(1, 0), new(1, 1)];

    public static StorageOptions Options(string directory) => new()
    {
        ClusterId = "killed",
        NodeId = new NodeId(1),
        Directory = directory,
        SegmentBytes = 64 * 1024,
        RetainedLogBytes = 256 * 1024,
    };

    public static string KeyOf(ulong index) => $"key-{index % Keys}";

    public static byte[] PayloadOf(ulong index) => StorageBench.Bytes($"{index}:{new string('p', (int)(index * 37 % 700))}");

    public static int Run(string directory, int seed)
    {
        var random = new Random(seed);
        using var node = NodeStorage.Open(Options(directory));
        var sink = new RecordingSink();
        var loop = node.CreateLoop(sink);
        var replicas = new IReplicaStorage[Shards.Length];
        var next = new ulong[Shards.Length];
        for (var i = 0; i < Shards.Length; i++)
        {
            replicas[i] = loop.OpenReplica(Shards[i], out var recovered);
            next[i] = recovered.Position.Applied.Value;
            foreach (var record in recovered.Records)
            {
                if (record.Index.Value == next[i] + 1)
                {
                    Apply(replicas[i], ++next[i]);
                }
            }
        }

        for (; ; )
        {
            LogPosition position = default;
            for (var burst = random.Next(1, 30); burst > 0; burst--)
            {
                var shard = random.Next(Shards.Length);
                var index = ++next[shard];
                position = replicas[shard].Append(LogRecordKind.Entry, new Term(1), new LogIndex(index), PayloadOf(index), SyncUrgency.Now);
                Apply(replicas[shard], index);
            }

            for (var shard = 0; shard < Shards.Length; shard++)
            {
                if (random.Next(3) == 0)
                {
                    replicas[shard].Seal(new ViewPosition(new LogIndex(next[shard]), new Term(1), 0));
                }

                replicas[shard].ReleaseLog(replicas[shard].DurablePosition.Applied, 0);
            }

            loop.Submit();
            sink.Until(() => sink.Durable >= position || sink.Failed is not null, "durable");
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{next[0]} {next[1]}"));
        }
    }

    private static void Apply(IReplicaStorage replica, ulong index) =>
        replica.Put(RecordSpace.Data, StorageBench.Bytes(KeyOf(index)), StorageBench.Bytes(index.ToString(CultureInfo.InvariantCulture)));
}

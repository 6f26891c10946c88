using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;

namespace KvStore.Core.Tests.Replicas;

/// <summary>A client that keeps a session and goes to whichever replica it is told, one call at a time.</summary>
internal sealed class SessionScript(ReplicaCluster cluster)
{
    public ReadOnlyMemory<byte> Position { get; set; } = SessionPosition.Empty.ToBytes();

    public Completion Put(uint node, string key, string value, WriteCondition condition = WriteCondition.None) => Note(cluster.Submit(cluster[node], PutOf(key, value, condition)));

    public Completion Get(uint node, string key, ReadLevel level = ReadLevel.Session) => Note(cluster.Submit(cluster[node], GetOf(key, level)));

    /// <summary>Does not wait for the answer.</summary>
    public ulong BeginPut(uint node, string key, string value) => cluster.SubmitOnly(cluster[node], PutOf(key, value, WriteCondition.None));

    public ulong BeginGet(uint node, string key) => cluster.SubmitOnly(cluster[node], GetOf(key, ReadLevel.Session));

    public Completion Note(Completion answer)
    {
        if (answer.Outcome == Outcome.Done)
        {
            Position = answer.Session.ToArray();
        }

        return answer;
    }

    private ClientOperation PutOf(string key, string value, WriteCondition condition) => new()
    {
        Kind = OperationKind.Put,
        Key = Encoding.UTF8.GetBytes(key),
        Value = Encoding.UTF8.GetBytes(value),
        Condition = condition,
        Session = Position,
        Epoch = new Epoch(1),
    };

    private ClientOperation GetOf(string key, ReadLevel level) => new() { Kind = OperationKind.Get, Level = level, Key = Encoding.UTF8.GetBytes(key), Session = Position };
}

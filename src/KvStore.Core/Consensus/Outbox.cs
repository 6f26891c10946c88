using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>What collects between two Readys. Two of them take turns: one is filled while the caller reads the other.</summary>
internal sealed class Outbox
{
    public MessageList Now { get; } = new();

    public MessageList AfterPersist { get; } = new();

    public List<ReadState> Reads { get; } = [];

    public List<ReplicaId> Snapshots { get; } = [];

    public List<Entry> Replaced { get; } = [];

    public bool IsEmpty => Now.Count == 0 && AfterPersist.Count == 0 && Reads.Count == 0 && Snapshots.Count == 0 && Replaced.Count == 0;

    public void Clear()
    {
        Now.Clear();
        AfterPersist.Clear();
        Reads.Clear();
        Snapshots.Clear();
        Replaced.Clear();
    }
}

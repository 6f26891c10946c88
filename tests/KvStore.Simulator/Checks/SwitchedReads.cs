using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// While the log writes, each version of a key is an index of the log, and the order of versions is the order of the writes, merges and switches among them included: what was written or read before an
/// operation began is not newer than what it finds or makes. Over all epochs, since indices never go back.
/// </summary>
internal sealed class SwitchedReads
{
    private readonly Dictionary<int, LogIndex> _floors = [];

    /// <summary>The newest version of a key that some operation which is over was told.</summary>
    public LogIndex FloorOf(int key) => _floors.GetValueOrDefault(key);

    public static LogIndex IndexOf(ReadOnlyMemory<byte> version) => KvStateMachine.TryReadVersion(version.Span, out LogIndex index)
        ? index
        : new LogIndex(ObjectVersion.Decode(version).Context[ActorId.Log]);

    public void OnRead(int key, LogIndex version, LogIndex floor)
    {
        if (version < floor)
        {
            throw new SimulationFailedException(nameof(SwitchedReads), $"A linearizable read of k{key} found version {version}, and {floor} was there before it began.");
        }

        Raise(key, version);
    }

    /// <param name="isFirst">Of a write that was sent again, the first attempt may have made an older version.</param>
    public void OnWritten(int key, LogIndex version, LogIndex floor, bool isFirst)
    {
        if (isFirst && version <= floor)
        {
            throw new SimulationFailedException(nameof(SwitchedReads), $"A write of k{key} made version {version}, and {floor} was there before it began.");
        }

        Raise(key, version);
    }

    private void Raise(int key, LogIndex version) => _floors[key] = LogIndex.Max(FloorOf(key), version);
}

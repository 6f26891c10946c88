using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>Stands between a replica and its storage, and tells <see cref="LostWriteWatch"/> what the replica applies.</summary>
internal sealed class AppliedRecorder(IReplicaStorage inner, LostWriteWatch watch) : StorageDecorator(inner)
{
    public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        Inner.Put(space, key, record);
        if (space == RecordSpace.Data)
        {
            watch.OnApplied(record);
        }
    }
}

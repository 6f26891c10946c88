using System.Buffers;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// The dots of replica actors that the log has accounted for: what was merged, or superseded before it could be. Part of the replicated state of an ordered shard: changed by applying entries only,
/// kept in the view's Meta space, and carried by snapshots. A dot in here changes nothing when it comes again.
/// </summary>
internal sealed class AccountedDots
{
    private bool _dirty;

    public ShardClock Clock { get; private set; } = new();

    public static ReadOnlySpan<byte> MetaKey => "accounted"u8;

    public void Add(Dot dot)
    {
        Invariant.Assert(!dot.Actor.IsLog, "the log accounts for itself");
        _dirty |= Clock.Add(dot);
    }

    public void AdvanceTo(Dot last)
    {
        Invariant.Assert(!last.Actor.IsLog, "the log accounts for itself");
        _dirty |= Clock.BaseOf(last.Actor) < last.Counter;
        Clock.AdvanceBase(last.Actor, last.Counter);
    }

    /// <summary>Before each seal.</summary>
    public void WriteTo(IReplicaStorage storage)
    {
        if (_dirty)
        {
            _dirty = false;
            var output = new ArrayBufferWriter<byte>(64);
            Clock.Encode(output);
            storage.Put(RecordSpace.Meta, MetaKey, output.WrittenMemory);
        }
    }

    public void Restore(ReadOnlyMemory<byte> record)
    {
        BinaryCursor input = new(record);
        Clock = ShardClock.Decode(ref input);
        input.ExpectEnd();
    }

    public void Clear()
    {
        Clock = new ShardClock();
        _dirty = false;
    }
}

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

    /// <summary>
    /// Dots above ones that are still missing. Meanwhile a context must name what a record superseded there: the base of the clock does not imply it.
    /// </summary>
    public bool HasGaps { get; private set; }

    public static ReadOnlySpan<byte> MetaKey => "accounted"u8;

    public void Add(Dot dot)
    {
        Invariant.Assert(!dot.Actor.IsLog, "the log accounts for itself");
        _dirty |= Clock.Add(dot);
        HasGaps = Clock.HasGaps;
    }

    public void AdvanceTo(Dot last)
    {
        Invariant.Assert(!last.Actor.IsLog, "the log accounts for itself");
        _dirty |= Clock.BaseOf(last.Actor) < last.Counter;
        Clock.AdvanceBase(last.Actor, last.Counter);
        HasGaps = Clock.HasGaps;
    }

    /// <summary>An open episode has ended: the state holds all that its baseline covers.</summary>
    public void Replace(ShardClock clock)
    {
        Clock = clock;
        HasGaps = clock.HasGaps;
        _dirty = true;
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
        HasGaps = Clock.HasGaps;
        input.ExpectEnd();
    }

    public void Clear()
    {
        Clock = new ShardClock();
        HasGaps = false;
        _dirty = false;
    }
}

using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

/// <summary>What a <see cref="ShardChange"/> says beside its key and its record. Refers to nothing, so that a window of them costs the garbage collector nothing.</summary>
internal readonly record struct ChangeMark(ShardChangeKind Kind, bool IsOpen, int Ordinal, Epoch Epoch, LogPlace Place, Dot Dot)
{
    /// <inheritdoc cref="ShardChange.IsVisible"/>
    public bool IsVisible => Kind <= ShardChangeKind.Evicted;

    /// <inheritdoc cref="ShardChange.IsOfLog"/>
    public bool IsOfLog => Place.Index > LogIndex.Zero;

    public bool HasDots => Dot.Counter > 0;
}

using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

/// <summary>A position that moves: what has been told up to some place in a <see cref="ChangeWindow"/>.</summary>
internal sealed class ToldState
{
    public bool IsOpen { get; private set; }

    /// <summary>The last entry told of; open: the one that began the open period.</summary>
    public LogPlace Place { get; private set; }

    public int Ordinal { get; private set; }

    /// <summary>Open: all dots of replicas that were told of or were there before.</summary>
    public ShardClock Seen { get; private set; } = new();

    public static ToldState InLog(WatchPosition position) => new() { Place = position.Place, Ordinal = position.Ordinal };

    public ToldState Clone() => new() { IsOpen = IsOpen, Place = Place, Ordinal = Ordinal, Seen = Seen.Clone() };

    public byte[] Encode() => WatchPosition.Encode(IsOpen, Place, Ordinal, Seen);

    public void Advance(ShardChange change) => Advance(change.Mark, change.MoreDots, change.Clock);

    /// <param name="change">What is told.</param>
    /// <param name="moreDots">As in <see cref="ShardChange.MoreDots"/>.</param>
    /// <param name="clock">As in <see cref="ShardChange.Clock"/>. Copied.</param>
    public void Advance(in ChangeMark change, Dot[] moreDots, ShardClock? clock)
    {
        switch (change.Kind)
        {
            case ShardChangeKind.Opened or ShardChangeKind.Ordered or ShardChangeKind.Reset:
                IsOpen = change.Kind == ShardChangeKind.Opened || change.IsOpen;
                Place = change.Place;
                Ordinal = 0;
                Seen = IsOpen ? clock!.Clone() : new ShardClock();
                break;
            case var _ when change.IsOfLog:
                Place = change.Place;
                Ordinal = change.Ordinal;
                break;
            case var _ when change.HasDots:
                Seen.Add(change.Dot);
                foreach (Dot dot in moreDots)
                {
                    Seen.Add(dot);
                }

                break;
            default:
                break;
        }
    }
}

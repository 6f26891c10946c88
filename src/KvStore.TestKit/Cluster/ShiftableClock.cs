namespace KvStore.TestKit;

/// <summary>The machine's clock, with a wall clock that can be set wrong. Timers and durations stay right, as on a machine whose date was changed.</summary>
internal sealed class ShiftableClock : TimeProvider
{
    private long _offsetTicks;

    /// <summary>Ahead of the machine's wall clock by so much; negative: behind.</summary>
    public TimeSpan Offset
    {
        get => new(Interlocked.Read(ref _offsetTicks));
        set => Interlocked.Exchange(ref _offsetTicks, value.Ticks);
    }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Offset;
}

namespace KvStore.Simulator.Engine;

/// <summary>The run's time for those who ask a <see cref="TimeProvider"/>.</summary>
internal sealed class VirtualTime(Timeline timeline) : TimeProvider
{
    public override long TimestampFrequency => 1_000_000;

    public override long GetTimestamp() => timeline.NowUs;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddMicroseconds(timeline.NowUs);
}

namespace KvStore.Client.Operations;

/// <summary>The monotonic clock of one client, in milliseconds since it was made.</summary>
internal sealed class ClientClock(TimeProvider time)
{
    private readonly long _origin = time.GetTimestamp();

    public TimeProvider Time { get; } = time;

    public long NowMs => (long)Time.GetElapsedTime(_origin).TotalMilliseconds;

    public long Timestamp => Time.GetTimestamp();
}

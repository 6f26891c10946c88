namespace KvStore.Core.Identity;

/// <summary>
/// Names one write of one client session, so that a retry has one effect. <paramref name="Sequence"/> counts up from 1 within the session; the client promises that every
/// sequence number up to and including <paramref name="AcknowledgedFloor"/> is answered for good and will never be retried, so the state machine may forget it.
/// </summary>
public readonly record struct RequestId(ulong Session, ulong Sequence, ulong AcknowledgedFloor)
{
    /// <summary>A write without a request id: it is never deduplicated.</summary>
    public static readonly RequestId None;

    public bool IsNone => Session == 0;

    public override string ToString() => IsNone ? "-" : $"{Session:x}:{Sequence}";
}

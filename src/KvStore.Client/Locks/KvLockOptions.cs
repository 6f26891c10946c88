namespace KvStore.Client;

/// <summary>How locks of a <see cref="KvLocks"/> behave.</summary>
public sealed record KvLockOptions
{
    /// <summary>
    /// How long a lock stays with a holder that has died: 1 s to 10 minutes. A living holder renews it every third of this, and gives it up by itself when four fifths have passed without a renewal.
    /// </summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How often a waiter looks, 10 ms to the lease.</summary>
    public TimeSpan PollInterval { get; init; } = TimeSpan.FromMilliseconds(250);

    internal void ThrowIfInvalid()
    {
        if (Lease < TimeSpan.FromSeconds(1) || Lease > TimeSpan.FromMinutes(10))
        {
            throw new ArgumentOutOfRangeException(nameof(Lease), Lease, "A lease is 1 s to 10 minutes.");
        }

        if (PollInterval < TimeSpan.FromMilliseconds(10) || PollInterval > Lease)
        {
            throw new ArgumentOutOfRangeException(nameof(PollInterval), PollInterval, "The poll interval is 10 ms to the lease.");
        }
    }
}

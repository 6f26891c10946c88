namespace KvStore.Node.Peers;

/// <summary>Bounds and times of the streams between nodes.</summary>
public sealed record PeerMeshOptions
{
    /// <summary>What may wait for one peer on the stream for frames. Over it the newest is dropped: both engines send again.</summary>
    public int FrameQueueBytes { get; init; } = 32 * 1_048_576;

    /// <summary>The same for the stream for bulk data.</summary>
    public int BulkQueueBytes { get; init; } = 16 * 1_048_576;

    /// <summary>A frame is closed when it reaches this; a single longer message still travels whole.</summary>
    public int MaxFrameBytes { get; init; } = 1_048_576;

    /// <summary>The longest message that Kestrel and the channel of a peer accept. A message that would be longer is dropped and counted.</summary>
    public const int MaxMessageBytes = 16 * 1_048_576;

    /// <summary>For the connection and the handshake together.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The first pause between attempts to connect; it doubles up to <see cref="MaxBackoff"/>, with jitter.</summary>
    public TimeSpan MinBackoff { get; init; } = TimeSpan.FromMilliseconds(50);

    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A connection that was quiet this long is asked whether the other end is still there.</summary>
    public TimeSpan KeepAliveDelay { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>A connection that gives no answer for so much longer is a black hole, and is closed.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(2);
}

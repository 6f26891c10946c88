using KvStore.Client.Operations;

namespace KvStore.Client.Connections;

/// <summary>One stream to one node, from its opening to its end. It tells its owner when it broke, and the dispatcher what was answered or lost.</summary>
internal interface IOperationStream
{
    /// <summary>It stands, or has stood.</summary>
    bool IsConnected { get; }

    bool IsBroken { get; }

    double ExpectedWait { get; }

    Submission TrySubmit(KvOperation operation);

    /// <summary>Takes out what is overdue, canceled or to be tried elsewhere.</summary>
    void Sweep(long nowMs, List<LostAttempt> lost);

    /// <summary>Names reads that have been under way for so long that a second replica may be asked, each once.</summary>
    void TakeSlow(long nowMs, double delayMs, List<SlowRead> slow);

    /// <summary>Takes out an operation that another node has answered; null if it is no longer under way here.</summary>
    KvOperation? Withdraw(ulong callId);

    /// <summary>Ends the stream. What was under way goes back to the dispatcher. The second call does nothing.</summary>
    void Break(Exception? cause);
}

/// <summary>Opens a stream: over gRPC in a program, through virtual links in the simulator. It must return at once and call nobody back meanwhile.</summary>
internal delegate IOperationStream StreamFactory(NodeConnection owner, Dispatcher dispatcher);

using KvStore.Client.Operations;
using KvStore.Client.Routing;

namespace KvStore.Client.Connections;

/// <summary>The client's way to one node: at most one stream at a time, opened when needed and, after a failure, not before a pause of 20 ms to 1 s.</summary>
internal sealed class NodeConnection(uint node, Uri address, Dispatcher dispatcher, StreamFactory streams) : IRoutableNode
{
    private const int MinPauseMs = 20;
    private const int MaxPauseMs = 1_000;

    private readonly Lock _gate = new();
    private volatile IOperationStream? _stream;
    private long _retryAtMs;
    private int _failures;
    private bool _isClosed;

    public uint Node { get; } = node;

    public Uri Address { get; } = address;

    /// <summary>A stream stands.</summary>
    public bool IsOpen => _stream is { IsConnected: true, IsBroken: false };

    public double ExpectedWait => _stream?.ExpectedWait ?? 0;

    /// <summary>A stream stands or may be opened.</summary>
    public bool IsUsable(long nowMs) => _stream is { IsBroken: false } || nowMs >= Volatile.Read(ref _retryAtMs);

    public Submission TrySubmit(KvOperation operation, long nowMs) => Open(nowMs)?.TrySubmit(operation) ?? Submission.Unavailable;

    /// <summary>The present stream, or a new one if it is not too early for that.</summary>
    public IOperationStream? Open(long nowMs)
    {
        IOperationStream? stream = _stream;
        if (stream is { IsBroken: false })
        {
            return stream;
        }

        lock (_gate)
        {
            if (_stream is { IsBroken: false })
            {
                return _stream;
            }

            if (_isClosed || nowMs < _retryAtMs)
            {
                return null;
            }

            _retryAtMs = nowMs + MinPauseMs;
            return _stream = streams(this, dispatcher);
        }
    }

    public void OnAnswered() => Volatile.Write(ref _failures, 0);

    public void OnBroken(IOperationStream stream, Exception? cause)
    {
        int failures = Interlocked.Increment(ref _failures);
        int ceiling = Math.Min(MaxPauseMs, MinPauseMs << Math.Min(failures - 1, 8));
        Volatile.Write(ref _retryAtMs, dispatcher.Clock.NowMs + dispatcher.Random.Next((ceiling + 1) / 2, ceiling + 1));
        dispatcher.Connections.OnBroken(this, stream.IsConnected, cause);
    }

    public void Sweep(long nowMs, List<LostAttempt> lost)
    {
        lost.Clear();
        Open(nowMs)?.Sweep(nowMs, lost);
        foreach (LostAttempt attempt in lost)
        {
            dispatcher.OnLost(attempt.Operation, Node, attempt.Loss);
        }
    }

    /// <summary>Called by the sweeper only.</summary>
    public void TakeSlow(long nowMs, double delayMs, List<SlowRead> slow)
    {
        slow.Clear();
        if (_stream is { IsBroken: false } stream)
        {
            stream.TakeSlow(nowMs, delayMs, slow);
        }
    }

    public void Close()
    {
        IOperationStream? stream;
        lock (_gate)
        {
            _isClosed = true;
            stream = _stream;
        }

        stream?.Break(null);
    }
}

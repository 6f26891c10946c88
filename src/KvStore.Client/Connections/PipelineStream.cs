using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client.Operations;
using KvStore.Contracts.Pipeline;

namespace KvStore.Client.Connections;

/// <summary>
/// One KvPipeline.Run stream from its opening to its end; it is never mended, its <see cref="NodeConnection"/> opens another. The socket and the tasks around a <see cref="StreamBacklog"/>: a flush loop on the
/// thread pool sends what has accumulated there, a read loop takes the answers to it.
/// </summary>
internal sealed class PipelineStream : IOperationStream, IThreadPoolWorkItem
{
    private readonly NodeConnection _owner;
    private readonly Dispatcher _dispatcher;
    private readonly StreamBacklog _backlog;
    private readonly TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<RawFrame, RawFrame> _call;

    public PipelineStream(NodeConnection owner, Dispatcher dispatcher, KvClientOptions options)
    {
        _owner = owner;
        _dispatcher = dispatcher;
        _backlog = new StreamBacklog(owner.Node, dispatcher, options.MaxInFlightPerNode, options.MaxInFlightBytesPerNode);
        _channel = ChannelFactory.Create(owner.Address, options, OnConnected);
        using (ExecutionContext.SuppressFlow())
        {
            _call = _channel.CreateCallInvoker().AsyncDuplexStreamingCall(PipelineMethods.Run, null, new CallOptions(HeadersOf(dispatcher)));
            _ = Task.Run(ReadAsync);
        }
    }

    public bool IsConnected => _backlog.IsConnected;

    public bool IsBroken => _backlog.IsBroken;

    public double ExpectedWait => _backlog.ExpectedWait;

    public Submission TrySubmit(KvOperation operation)
    {
        Submission submission = _backlog.TrySubmit(operation, out bool mustFlush);
        if (mustFlush)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        return submission;
    }

    void IThreadPoolWorkItem.Execute() => _ = FlushAsync();

    public void Sweep(long nowMs, List<LostAttempt> lost) => _backlog.Sweep(nowMs, lost);

    public void TakeSlow(long nowMs, double delayMs, List<SlowRead> slow) => _backlog.TakeSlow(this, nowMs, delayMs, slow);

    public KvOperation? Withdraw(ulong callId) => _backlog.Withdraw(callId);

    public void Break(Exception? cause)
    {
        if (_backlog.Break() is not { } lost)
        {
            return;
        }

        _connected.TrySetResult();
        _owner.OnBroken(this, cause);
        _call.Dispose();
        _channel.Dispose();
        foreach (LostAttempt attempt in lost)
        {
            _dispatcher.OnLost(attempt.Operation, _owner.Node, attempt.Loss);
        }
    }

    /// <summary>Which cluster is meant: another one may listen where a node of it was, and its keyspaces have the same numbers.</summary>
    private static Metadata? HeadersOf(Dispatcher dispatcher) =>
        dispatcher.Map is { } map ? new Metadata { { PipelineMethods.ClusterHeader, PipelineMethods.ClusterMarkOf(map.Public.ClusterId) } } : null;

    private void OnConnected()
    {
        _backlog.OnConnected();
        _connected.TrySetResult();
    }

    private async Task FlushAsync()
    {
        try
        {
            await _connected.Task.ConfigureAwait(false);
            RawFrame frame = new(default);
            while (_backlog.TryHandOver(out Outbound sending))
            {
                for (int i = 0; i < sending.MessageCount; i++)
                {
                    frame.Bytes = sending.Message(i);
                    await _call.RequestStream.WriteAsync(frame).ConfigureAwait(false);
                }

                sending.Clear();
            }
        }
        catch (Exception failure)
        {
            Break(failure);
        }
    }

    private async Task ReadAsync()
    {
        try
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None).ConfigureAwait(false))
            {
                if (_backlog.TakeAnswers(_call.ResponseStream.Current.Bytes))
                {
                    _owner.OnAnswered();
                }
            }

            Break(null);
        }
        catch (Exception failure)
        {
            Break(failure);
        }
    }
}

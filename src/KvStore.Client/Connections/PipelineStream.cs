using System.Runtime.CompilerServices;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client.Operations;
using KvStore.Contracts.Pipeline;

namespace KvStore.Client.Connections;

/// <summary>
/// One KvPipeline.Run stream from its opening to its end; it is never mended, its <see cref="NodeConnection"/> opens another. Callers encode into one of two buffers under a short lock; a flush loop on the
/// thread pool sends the other: what accumulates while a write is in flight becomes the next message, without any timer. A read loop takes answers and hands them to the dispatcher.
/// Nothing is handed to the connection before it stands, so what was lost before is certainly not sent.
/// </summary>
internal sealed class PipelineStream : IThreadPoolWorkItem
{
    private readonly Lock _gate = new();
    private readonly NodeConnection _owner;
    private readonly Dispatcher _dispatcher;
    private readonly int _maxBytes;
    private readonly SlotTable _slots;
    private readonly TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<RawFrame, RawFrame> _call;
    private Outbound _outbound;
    private Outbound _sending;
    private int _bytesUnderWay;
    private ulong _lastOrdinal;
    private ulong _handedOrdinal;
    private bool _flushing;
    private bool _isConnected;
    private bool _isBroken;
    private double _latency;

    public PipelineStream(NodeConnection owner, Dispatcher dispatcher, KvClientOptions options)
    {
        _owner = owner;
        _dispatcher = dispatcher;
        _maxBytes = options.MaxInFlightBytesPerNode;
        _slots = new SlotTable(options.MaxInFlightPerNode);
        _outbound = new Outbound(_maxBytes);
        _sending = new Outbound(_maxBytes);
        _channel = ChannelFactory.Create(owner.Address, options.ConnectTimeout, OnConnected);
        using (ExecutionContext.SuppressFlow())
        {
            _call = _channel.CreateCallInvoker().AsyncDuplexStreamingCall(PipelineMethods.Run, null, default);
            _ = Task.Run(ReadAsync);
        }
    }

    public bool IsConnected => Volatile.Read(ref _isConnected);

    public bool IsBroken => Volatile.Read(ref _isBroken);

    /// <summary>Peak EWMA: recent latency, in clock ticks, times the queue's length. An estimate, read without a lock.</summary>
    public double ExpectedWait => (Volatile.Read(ref _latency) + 1) * (_slots.Count + 1);

    public Submission TrySubmit(KvOperation operation)
    {
        int elementBytes;
        bool schedule;
        lock (_gate)
        {
            if (_isBroken)
            {
                return Submission.Unavailable;
            }

            ref SlotTable.Slot slot = ref _slots.TryTake(operation, out ulong callId);
            if (Unsafe.IsNullRef(ref slot))
            {
                return Submission.Full;
            }

            operation.Wire.CallId = callId;
            elementBytes = PipelineCodec.ElementSize(PipelineCodec.OperationSize(operation.Wire));
            if (_bytesUnderWay + elementBytes > _maxBytes || !_outbound.Fits(elementBytes))
            {
                _slots.Remove(callId, out _);
                return Submission.Full;
            }

            slot.Bytes = elementBytes;
            slot.Ordinal = ++_lastOrdinal;
            slot.SubmittedTimestamp = _dispatcher.Clock.Timestamp;
            slot.Offset = _outbound.Append(operation.Wire, elementBytes);
            _bytesUnderWay += elementBytes;
            schedule = !_flushing;
            _flushing = true;
        }

        if (schedule)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        return Submission.Accepted;
    }

    void IThreadPoolWorkItem.Execute() => _ = FlushAsync();

    /// <summary>Takes out what is overdue, canceled or to be tried elsewhere.</summary>
    public void Sweep(long nowMs, List<LostAttempt> lost)
    {
        lock (_gate)
        {
            Span<SlotTable.Slot> used = _slots.Used();
            for (int i = 0; i < used.Length && _slots.Count > 0; i++)
            {
                if (used[i].Operation is not { } operation)
                {
                    continue;
                }

                bool handed = used[i].Ordinal <= _handedOrdinal;
                if (nowMs < operation.AttemptEndsMs && !operation.IsOver(nowMs) && (handed || nowMs < operation.GiveUpMs))
                {
                    continue;
                }

                if (!handed)
                {
                    _outbound.Withdraw(used[i].Offset);
                }

                _bytesUnderWay -= used[i].Bytes;
                lost.Add(new LostAttempt(operation, handed ? AttemptLoss.Sent : _isConnected ? AttemptLoss.NeverSent : AttemptLoss.NeverConnected));
                _slots.Release(i);
            }
        }
    }

    /// <summary>Ends the stream. What was under way goes back to the dispatcher. The second call does nothing.</summary>
    public void Break(Exception? cause)
    {
        List<LostAttempt> lost = [];
        lock (_gate)
        {
            if (_isBroken)
            {
                return;
            }

            _isBroken = true;
            Span<SlotTable.Slot> used = _slots.Used();
            for (int i = 0; i < used.Length; i++)
            {
                if (used[i].Operation is { } operation)
                {
                    AttemptLoss loss = !_isConnected ? AttemptLoss.NeverConnected : used[i].Ordinal <= _handedOrdinal ? AttemptLoss.Sent : AttemptLoss.NeverSent;
                    lost.Add(new LostAttempt(operation, loss));
                    _slots.Release(i);
                }
            }
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

    private void OnConnected()
    {
        Volatile.Write(ref _isConnected, true);
        _connected.TrySetResult();
    }

    private async Task FlushAsync()
    {
        try
        {
            await _connected.Task.ConfigureAwait(false);
            RawFrame frame = new(default);
            while (TryHandOver())
            {
                for (int i = 0; i < _sending.MessageCount; i++)
                {
                    frame.Bytes = _sending.Message(i);
                    await _call.RequestStream.WriteAsync(frame).ConfigureAwait(false);
                }

                _sending.Clear();
            }
        }
        catch (Exception failure)
        {
            Break(failure);
        }
    }

    private bool TryHandOver()
    {
        lock (_gate)
        {
            if (_isBroken || _outbound.IsEmpty)
            {
                _flushing = false;
                return false;
            }

            (_outbound, _sending) = (_sending, _outbound);
            _handedOrdinal = _lastOrdinal;
            return true;
        }
    }

    private async Task ReadAsync()
    {
        try
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None).ConfigureAwait(false))
            {
                TakeAnswers(_call.ResponseStream.Current.Bytes);
            }

            Break(null);
        }
        catch (Exception failure)
        {
            Break(failure);
        }
    }

    private void TakeAnswers(ReadOnlyMemory<byte> frame)
    {
        long timestamp = 0;
        ResultBatchReader reader = new(frame);
        while (reader.MoveNext(out WireResult result))
        {
            KvOperation? operation;
            SlotTable.Slot slot;
            lock (_gate)
            {
                operation = _slots.Remove(result.CallId, out slot);
                _bytesUnderWay -= slot.Bytes;
            }

            if (operation is null)
            {
                continue;
            }

            if (timestamp == 0)
            {
                timestamp = _dispatcher.Clock.Timestamp;
                Volatile.Write(ref _latency, (0.9 * _latency) + (0.1 * (timestamp - slot.SubmittedTimestamp)));
                _owner.OnAnswered();
            }

            _dispatcher.OnAnswer(operation, result, _owner.Node);
        }
    }
}

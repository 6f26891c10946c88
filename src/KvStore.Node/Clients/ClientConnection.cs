using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Node.Loops;

namespace KvStore.Node.Clients;

/// <summary>
/// One client's pipelined stream. Requests are decoded on the stream's own task (<see cref="OperationIntake"/>); results accumulate while a write is in flight, and what has
/// accumulated becomes the next frame.
/// </summary>
internal sealed class ClientConnection : OperationOrigin, IThreadPoolWorkItem
{
    /// <summary>Above this many unsent bytes nothing more is read from the client.</summary>
    private const int PauseBytes = 8 * 1_048_576;

    /// <summary>A client that reads so slowly that this many bytes pile up is disconnected.</summary>
    private const int AbortBytes = 64 * 1_048_576;

    private const int FrameTargetBytes = 256 * 1_024;
    private const int KeepBytes = 1_048_576;

    private readonly Lock _gate = new();
    private readonly Queue<FrameBuffer> _full = new();
    private readonly IServerStreamWriter<RawFrame> _responses;
    private readonly Action _abort;
    private readonly OperationIntake _intake;
    private FrameBuffer _filling = new(2 * KvLimits.MaxMessageBytes);
    private FrameBuffer _spare = new(2 * KvLimits.MaxMessageBytes);
    private TaskCompletionSource? _changed;
    private long _unsentBytes;
    private bool _sending;
    private bool _closed;

    public ClientConnection(IServerStreamWriter<RawFrame> responses, LoopSet loops, Action abort)
    {
        _responses = responses;
        _abort = abort;
        _intake = new OperationIntake(this, loops, Append);
    }

    public override void Deliver(ulong callId, ref WireResult result)
    {
        _intake.OnAnswered();
        Append(result);
    }

    public override void Kick()
    {
        lock (_gate)
        {
            if (_sending || _closed || (_filling.WrittenCount == 0 && _full.Count == 0))
            {
                SignalChanged();
                return;
            }

            _sending = true;
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Takes a frame of the client.</summary>
    /// <exception cref="MalformedFrameException">The bytes are no OperationBatch: the stream ends.</exception>
    public void Handle(RawFrame frame)
    {
        if (_intake.Handle(frame.Bytes))
        {
            Kick();
        }
    }

    /// <summary>Completes when little enough is unsent to read on.</summary>
    public async ValueTask WaitForRoomAsync(CancellationToken cancellation)
    {
        while (Volatile.Read(ref _unsentBytes) > PauseBytes)
        {
            await NextChange(() => _unsentBytes > PauseBytes).WaitAsync(cancellation);
        }
    }

    /// <summary>Completes when everything asked is answered and sent.</summary>
    public async ValueTask DrainAsync(CancellationToken cancellation)
    {
        while (_intake.InFlight > 0 || Volatile.Read(ref _unsentBytes) > 0)
        {
            await NextChange(() => _intake.InFlight > 0 || _unsentBytes > 0).WaitAsync(cancellation);
        }
    }

    /// <summary>The stream has ended: late results are dropped.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            if (!_sending)
            {
                _filling.Dispose();
                _spare.Dispose();
            }

            SignalChanged();
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = SendAsync();

    private async Task SendAsync()
    {
        var frame = new RawFrame(default);
        try
        {
            while (TryTakeFrame(out FrameBuffer? buffer))
            {
                frame.Bytes = buffer.WrittenMemory;
                await _responses.WriteAsync(frame);
                Recycle(buffer);
            }
        }
        catch (Exception broken) when (broken is InvalidOperationException or IOException or RpcException or OperationCanceledException)
        {
            // The stream is gone; its request side notices and closes this connection.
            lock (_gate)
            {
                _closed = true;
                _sending = false;
                SignalChanged();
            }

            _abort();
        }
    }

    private void Append(in WireResult result)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            int size = PipelineCodec.ElementSize(PipelineCodec.ResultSize(result));
            if (_filling.WrittenCount > 0 && _filling.WrittenCount + size > FrameTargetBytes)
            {
                _full.Enqueue(_filling);
                _filling = new FrameBuffer(2 * KvLimits.MaxMessageBytes);
            }

            PipelineCodec.WriteResult(_filling, result);
            _unsentBytes += size;
            if (_unsentBytes > AbortBytes)
            {
                _closed = true;
                _abort();
            }
        }
    }

    private bool TryTakeFrame([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out FrameBuffer? buffer)
    {
        lock (_gate)
        {
            if (_full.TryDequeue(out buffer))
            {
                return true;
            }

            if (_filling.WrittenCount == 0 || _closed)
            {
                _sending = false;
                SignalChanged();
                buffer = null;
                return false;
            }

            buffer = _filling;
            _filling = _spare;
            _spare = buffer;
            return true;
        }
    }

    private void Recycle(FrameBuffer buffer)
    {
        lock (_gate)
        {
            _unsentBytes -= buffer.WrittenCount;
            if (ReferenceEquals(buffer, _spare))
            {
                buffer.Clear(KeepBytes);
            }
            else
            {
                buffer.Dispose();
            }

            SignalChanged();
        }
    }

    private Task NextChange(Func<bool> stillWaiting)
    {
        lock (_gate)
        {
            if (_closed || !stillWaiting())
            {
                return _closed ? Task.FromCanceled(new CancellationToken(canceled: true)) : Task.CompletedTask;
            }

            return (_changed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    private void SignalChanged()
    {
        _changed?.TrySetResult();
        _changed = null;
    }
}

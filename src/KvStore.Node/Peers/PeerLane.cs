namespace KvStore.Node.Peers;

/// <summary>
/// The bounded queue of one stream to one peer. Loops put whole buffers in at the end of a step; the sender takes what accumulated while its last write was in flight. While the stream is down
/// nothing is kept: what is old by the time the peer is back is worth nothing to either engine.
/// </summary>
internal sealed class PeerLane(int maxQueuedBytes, OutboundBufferPool pool, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly Queue<OutboundBuffer> _queue = new();
    private readonly WakeSignal _wake = new();
    private long _queuedBytes;
    private long _droppedBuffers;
    private long _droppedBytes;
    private volatile bool _open;

    public bool IsOpen => _open;

    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    public long DroppedBuffers => Volatile.Read(ref _droppedBuffers);

    public long DroppedBytes => Volatile.Read(ref _droppedBytes);

    /// <summary>Whether something that must not be dropped silently may be queued now.</summary>
    public bool Admits(int bytes) => _open && QueuedBytes + bytes <= maxQueuedBytes;

    /// <summary>
    /// Hands a buffer over; it belongs to the lane from now on. Over the bound it is dropped and counted, unless it holds something that was admitted before: the bound was kept then.
    /// </summary>
    public void Enqueue(OutboundBuffer buffer)
    {
        bool taken;
        buffer.QueuedAt = time.GetTimestamp();
        lock (_gate)
        {
            taken = _open && (buffer.HoldsAdmitted || _queuedBytes + buffer.Length <= maxQueuedBytes);
            if (taken)
            {
                _queue.Enqueue(buffer);
                _queuedBytes += buffer.Length;
            }
        }

        if (taken)
        {
            _wake.Set();
            return;
        }

        Interlocked.Increment(ref _droppedBuffers);
        Interlocked.Add(ref _droppedBytes, buffer.Length);
        pool.Return(buffer);
    }

    public void Open()
    {
        lock (_gate)
        {
            _open = true;
        }
    }

    /// <summary>The stream is down: what waits is dropped.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _open = false;
            while (_queue.TryDequeue(out OutboundBuffer? buffer))
            {
                pool.Return(buffer);
            }

            _queuedBytes = 0;
        }

        _wake.Set();
    }

    /// <summary>Lets the sender look around, because it was told to stop.</summary>
    public void Wake() => _wake.Set();

    /// <summary>For the sender only: completes when something was queued, or the lane was closed, since the last wait.</summary>
    public ValueTask WaitAsync() => _wake.WaitAsync();

    /// <summary>
    /// For the sender only: moves buffers that were queued at or before <paramref name="queuedUntil"/> into the frame, up to <paramref name="maxBytes"/> but at least one.
    /// </summary>
    /// <returns>False when there is none; then <paramref name="oldest"/> says when the oldest one that waits was queued, or is 0.</returns>
    public bool TryTake(OutboundFrame frame, int maxBytes, long queuedUntil, out long oldest)
    {
        lock (_gate)
        {
            oldest = 0;
            while (_queue.TryPeek(out OutboundBuffer? buffer))
            {
                if (buffer.QueuedAt > queuedUntil)
                {
                    oldest = buffer.QueuedAt;
                    break;
                }

                if (frame.Parts.Count > 0 && frame.Length + buffer.Length > maxBytes)
                {
                    break;
                }

                frame.Add(_queue.Dequeue());
                _queuedBytes -= buffer.Length;
            }

            return frame.Parts.Count > 0;
        }
    }

    /// <summary>For the sender only: the frame is written, or swallowed by a fault.</summary>
    public void Release(OutboundFrame frame)
    {
        foreach (OutboundBuffer part in frame.Parts)
        {
            pool.Return(part);
        }

        frame.Clear();
    }
}

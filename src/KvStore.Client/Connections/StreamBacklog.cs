using System.Runtime.CompilerServices;
using KvStore.Client.Operations;
using KvStore.Contracts.Pipeline;

namespace KvStore.Client.Connections;

/// <summary>
/// What is under way on one stream: the operations by their call ids, and those among them that are encoded and not handed to the connection yet. Callers encode into one of two buffers under a short lock;
/// whoever sends takes the other: what accumulates while a write is in flight becomes the next message, without any timer. Knows no socket.
/// Nothing is handed over before the connection stands, so what was lost before is certainly not sent.
/// </summary>
internal sealed class StreamBacklog(uint node, Dispatcher dispatcher, int maxOperations, int maxBytes)
{
    private readonly Lock _gate = new();
    private readonly SlotTable _slots = new(maxOperations);
    private Outbound _outbound = new(maxBytes);
    private Outbound _sending = new(maxBytes);
    private int _bytesUnderWay;
    private ulong _lastOrdinal;
    private ulong _handedOrdinal;
    private bool _flushing;
    private bool _isConnected;
    private bool _isBroken;
    private double _latency;
    private long _measuredAt;

    public bool IsConnected => Volatile.Read(ref _isConnected);

    public bool IsBroken => Volatile.Read(ref _isBroken);

    /// <summary>
    /// Peak EWMA: recent latency, in clock ticks, times the queue's length. What was measured fades by half in 5 s, so that a node that was slow once is asked again and can show that it has recovered. An estimate,
    /// read without a lock.
    /// </summary>
    public double ExpectedWait
    {
        get
        {
            const double HalfLifeSeconds = 5;
            double age = dispatcher.Clock.Time.GetElapsedTime(Volatile.Read(ref _measuredAt), dispatcher.Clock.Timestamp).TotalSeconds;
            return ((Volatile.Read(ref _latency) * Math.Pow(2, -age / HalfLifeSeconds)) + 1) * (_slots.Count + 1);
        }
    }

    public void OnConnected() => Volatile.Write(ref _isConnected, true);

    /// <param name="operation">Accepted: it belongs to the backlog from now on.</param>
    /// <param name="mustFlush">Nobody is flushing: the caller has to see to it that somebody does.</param>
    public Submission TrySubmit(KvOperation operation, out bool mustFlush)
    {
        mustFlush = false;
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
            int elementBytes = PipelineCodec.ElementSize(PipelineCodec.OperationSize(operation.Wire));
            if (_bytesUnderWay + elementBytes > maxBytes || !_outbound.Fits(elementBytes))
            {
                _slots.Remove(callId, out _);
                return Submission.Full;
            }

            slot.Bytes = elementBytes;
            slot.Ordinal = ++_lastOrdinal;
            slot.SubmittedTimestamp = dispatcher.Clock.Timestamp;
            slot.Offset = _outbound.Append(operation.Wire, elementBytes);
            _bytesUnderWay += elementBytes;
            mustFlush = !_flushing;
            _flushing = true;
        }

        return Submission.Accepted;
    }

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

    /// <summary>Names the reads that were handed over so long ago that a second replica may be asked, each once.</summary>
    public void TakeSlow(IOperationStream stream, long nowMs, double delayMs, List<SlowRead> slow)
    {
        lock (_gate)
        {
            Span<SlotTable.Slot> used = _slots.Used();
            for (int i = 0; i < used.Length && _slots.Count > 0; i++)
            {
                if (used[i].Operation is { MayBeHedged: true } operation
                    && used[i].Ordinal <= _handedOrdinal
                    && dispatcher.Clock.Time.GetElapsedTime(used[i].SubmittedTimestamp, dispatcher.Clock.Timestamp).TotalMilliseconds >= delayMs)
                {
                    operation.MayBeHedged = false;
                    slow.Add(new SlowRead(stream, operation.Wire.CallId, operation.Wire, operation.Keyspace, operation.DeadlineMs));
                }
            }
        }
    }

    /// <summary>Takes an operation out; null if it is no longer here. Its late answer will find nobody.</summary>
    public KvOperation? Withdraw(ulong callId)
    {
        lock (_gate)
        {
            KvOperation? operation = _slots.Remove(callId, out SlotTable.Slot slot);
            _bytesUnderWay -= slot.Bytes;
            return operation;
        }
    }

    /// <summary>Hands over what has accumulated: it counts as sent from now on. The buffer is the caller's until the next call, and the caller clears it.</summary>
    /// <returns>False: nothing waits; the next submission must start a flush again.</returns>
    public bool TryHandOver(out Outbound messages)
    {
        lock (_gate)
        {
            if (_isBroken || _outbound.IsEmpty)
            {
                _flushing = false;
                messages = _sending;
                return false;
            }

            (_outbound, _sending) = (_sending, _outbound);
            _handedOrdinal = _lastOrdinal;
            messages = _sending;
            return true;
        }
    }

    /// <summary>Finds the operations that a frame of answers is about, and hands them to the dispatcher.</summary>
    /// <returns>Whether one of them was still waiting: the node answers.</returns>
    public bool TakeAnswers(ReadOnlyMemory<byte> frame)
    {
        bool answered = false;
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

            if (!answered)
            {
                answered = true;
                Volatile.Write(ref _latency, (0.9 * _latency) + (0.1 * (dispatcher.Clock.Timestamp - slot.SubmittedTimestamp)));
                Volatile.Write(ref _measuredAt, dispatcher.Clock.Timestamp);
            }

            dispatcher.OnAnswer(operation, result, node);
        }

        return answered;
    }

    /// <summary>Takes no more, and gives back what was under way.</summary>
    /// <returns>Null: it was broken before.</returns>
    public List<LostAttempt>? Break()
    {
        List<LostAttempt> lost = [];
        lock (_gate)
        {
            if (_isBroken)
            {
                return null;
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

        return lost;
    }
}

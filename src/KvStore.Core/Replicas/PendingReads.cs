using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Linearizable reads on their way: all that arrive between two turns of the loop share one confirmation of leadership, then wait until the state machine has reached its index.
/// </summary>
internal sealed class PendingReads
{
    private readonly record struct Batch(ulong Context, LogIndex Index, long OpenedMs, List<ClientOperation> Operations);

    private readonly Queue<Batch> _unconfirmed = new();
    private readonly Queue<Batch> _confirmed = new();
    private readonly Stack<List<ClientOperation>> _spare = new();
    private ulong _lastContext;
    private long _openedMs;

    /// <summary>Reads in all stages.</summary>
    public int Count { get; private set; }

    /// <summary>The batch that is being gathered, with its context; null before the first read of a turn.</summary>
    public List<ClientOperation>? Gathering { get; private set; }

    public ulong Context => _lastContext;

    /// <summary>Opens the batch of this turn under a context that was never used before.</summary>
    public ulong Open(long nowMs)
    {
        _openedMs = nowMs;
        Gathering = _spare.TryPop(out List<ClientOperation>? list) ? list : [];
        return ++_lastContext;
    }

    public void Add(in ClientOperation operation)
    {
        Gathering!.Add(operation);
        Count++;
    }

    /// <summary>Closes the batch of this turn: its confirmation is on its way.</summary>
    public void Close()
    {
        if (Gathering is not null)
        {
            _unconfirmed.Enqueue(new Batch(_lastContext, LogIndex.Zero, _openedMs, Gathering));
            Gathering = null;
        }
    }

    /// <summary>Takes back the batch being gathered, when the leadership turned out to be gone.</summary>
    public List<ClientOperation> TakeGathering()
    {
        List<ClientOperation> operations = Gathering!;
        Gathering = null;
        Count -= operations.Count;
        return operations;
    }

    /// <summary>A confirmation came: batches up to its context may be served once <paramref name="index"/> is applied.</summary>
    public void Confirm(ulong context, LogIndex index)
    {
        while (_unconfirmed.TryPeek(out Batch batch) && batch.Context <= context)
        {
            _unconfirmed.Dequeue();
            _confirmed.Enqueue(batch with { Index = index });
        }
    }

    /// <summary>Takes the next batch that may be served. Give the list back with <see cref="Recycle"/>.</summary>
    /// <param name="applied">How far the state machine is.</param>
    /// <param name="operations">The reads.</param>
    /// <param name="openedMs">All that was acknowledged before this moment is in what is applied.</param>
    public bool TryTakeReady(LogIndex applied, out List<ClientOperation> operations, out long openedMs)
    {
        if (_confirmed.TryPeek(out Batch batch) && batch.Index <= applied)
        {
            _confirmed.Dequeue();
            operations = batch.Operations;
            openedMs = batch.OpenedMs;
            Count -= operations.Count;
            return true;
        }

        operations = [];
        openedMs = 0;
        return false;
    }

    /// <summary>Takes the unconfirmed batch of exactly this context: its confirmation was called off.</summary>
    public bool TryTakeAborted(ulong context, out List<ClientOperation> operations)
    {
        if (_unconfirmed.TryPeek(out Batch batch) && batch.Context <= context)
        {
            _unconfirmed.Dequeue();
            operations = batch.Operations;
            Count -= operations.Count;
            return true;
        }

        operations = [];
        return false;
    }

    /// <summary>Removes and reports reads whose deadline has passed.</summary>
    public void TakeExpired(long nowMs, List<ClientOperation> expired)
    {
        foreach (Batch batch in _unconfirmed)
        {
            Expire(batch.Operations, nowMs, expired);
        }

        foreach (Batch batch in _confirmed)
        {
            Expire(batch.Operations, nowMs, expired);
        }
    }

    public void Recycle(List<ClientOperation> operations)
    {
        const int KeptLists = 16;
        operations.Clear();
        if (_spare.Count < KeptLists)
        {
            _spare.Push(operations);
        }
    }

    private void Expire(List<ClientOperation> operations, long nowMs, List<ClientOperation> expired)
    {
        for (int i = operations.Count - 1; i >= 0; i--)
        {
            if (operations[i].DeadlineMs <= nowMs)
            {
                expired.Add(operations[i]);
                operations.RemoveAt(i);
                Count--;
            }
        }
    }
}

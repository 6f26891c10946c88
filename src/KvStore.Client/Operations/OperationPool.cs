using System.Collections.Concurrent;

namespace KvStore.Client.Operations;

/// <summary>Operations to use again. Bounded, so that a burst does not stay in memory.</summary>
internal sealed class OperationPool(Dispatcher dispatcher)
{
    private const int MaxKept = 16_384;

    private readonly ConcurrentQueue<KvOperation> _free = new();
    private int _count;

    public KvOperation Rent()
    {
        if (_free.TryDequeue(out KvOperation? operation))
        {
            Interlocked.Decrement(ref _count);
            return operation;
        }

        return new KvOperation(dispatcher);
    }

    public void Return(KvOperation operation)
    {
        if (Interlocked.Increment(ref _count) <= MaxKept)
        {
            _free.Enqueue(operation);
        }
        else
        {
            Interlocked.Decrement(ref _count);
        }
    }
}

using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// The clock of what would survive a power loss now. Acknowledgements and advertisements speak of this clock only: a dot that is told and then forgotten would be
/// missing for ever, because the peers would no longer keep it for this replica.
/// </summary>
internal sealed class DurableFrontier
{
    private readonly Queue<Pending> _pending = new();

    public ShardClock Clock { get; private set; } = new();

    /// <summary>The last running number known to be durable.</summary>
    public ulong Number { get; private set; }

    public void Reset(ShardClock clock, ulong number)
    {
        _pending.Clear();
        Clock = clock;
        Number = number;
    }

    /// <summary>A dot becomes durable together with the log record of this number.</summary>
    public void Await(ulong number, Dot dot) => _pending.Enqueue(new Pending(number, dot, null));

    public void Await(ulong number, ShardClock adopted) => _pending.Enqueue(new Pending(number, default, adopted));

    /// <returns>True if the clock grew.</returns>
    public bool Advance(ulong upTo)
    {
        bool grew = false;
        Number = Math.Max(Number, upTo);
        while (_pending.TryPeek(out Pending next) && next.Number <= Number)
        {
            _pending.Dequeue();
            if (next.Adopted is not null)
            {
                Clock.Join(next.Adopted);
                grew = true;
            }
            else
            {
                grew |= Clock.Add(next.Dot);
            }
        }

        return grew;
    }

    private readonly record struct Pending(ulong Number, Dot Dot, ShardClock? Adopted);
}

namespace KvStore.Simulator.Engine;

/// <summary>Virtual time: what happens when, one event after another. Events of one instant happen in the order in which they were planned.</summary>
internal sealed class Timeline
{
    private readonly PriorityQueue<Action, (long AtUs, long Order)> _events = new();
    private long _order;

    /// <summary>Microseconds since the start of the run.</summary>
    public long NowUs { get; private set; }

    public long NowMs => NowUs / 1_000;

    public long Executed { get; private set; }

    public void After(long delayUs, Action happening) => _events.Enqueue(happening, (NowUs + Math.Max(0, delayUs), _order++));

    /// <summary>Lets events happen until the condition holds. Returns whether it does, before so much virtual time has passed.</summary>
    public bool RunUntil(Func<bool> condition, long atMostUs)
    {
        long end = NowUs + atMostUs;
        while (!condition())
        {
            if (!_events.TryPeek(out _, out (long AtUs, long Order) next) || next.AtUs > end)
            {
                NowUs = end;
                return condition();
            }

            Action happening = _events.Dequeue();
            NowUs = next.AtUs;
            Executed++;
            happening();
        }

        return true;
    }

    public void RunFor(long us) => RunUntil(() => false, us);
}

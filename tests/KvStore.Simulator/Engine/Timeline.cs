namespace KvStore.Simulator.Engine;

/// <summary>Virtual time: what happens when, one event after another. Events of one instant happen in the order in which they were planned.</summary>
internal sealed class Timeline
{
    private const int Fanout = 4;

    private Planned[] _heap = new Planned[1024];
    private int _count;
    private long _order;

    /// <summary>Microseconds since the start of the run.</summary>
    public long NowUs { get; private set; }

    public long NowMs => NowUs / 1_000;

    public long Executed { get; private set; }

    public void After(long delayUs, Action happening)
    {
        if (_count == _heap.Length)
        {
            Array.Resize(ref _heap, 2 * _count);
        }

        var planned = new Planned(NowUs + Math.Max(0, delayUs), _order++, happening);
        int at = _count++;
        while (at > 0 && planned.IsBefore(_heap[(at - 1) / Fanout]))
        {
            _heap[at] = _heap[(at - 1) / Fanout];
            at = (at - 1) / Fanout;
        }

        _heap[at] = planned;
    }

    /// <summary>Lets events happen until the condition holds. Returns whether it does, before so much virtual time has passed.</summary>
    public bool RunUntil(Func<bool> condition, long atMostUs)
    {
        long end = NowUs + atMostUs;
        while (!condition())
        {
            if (_count == 0 || _heap[0].AtUs > end)
            {
                NowUs = end;
                return condition();
            }

            Planned next = TakeFirst();
            NowUs = next.AtUs;
            Executed++;
            next.Happening();
        }

        return true;
    }

    public void RunFor(long us) => RunUntil(static () => false, us);

    private Planned TakeFirst()
    {
        Planned first = _heap[0];
        Planned last = _heap[--_count];
        _heap[_count] = default;
        int at = 0;
        for (int child = 1; child < _count; child = (at * Fanout) + 1)
        {
            int smallest = child;
            int end = Math.Min(child + Fanout, _count);
            for (int other = child + 1; other < end; other++)
            {
                if (_heap[other].IsBefore(_heap[smallest]))
                {
                    smallest = other;
                }
            }

            if (!_heap[smallest].IsBefore(last))
            {
                break;
            }

            _heap[at] = _heap[smallest];
            at = smallest;
        }

        if (_count > 0)
        {
            _heap[at] = last;
        }

        return first;
    }

    private readonly struct Planned(long atUs, long order, Action happening)
    {
        public readonly long AtUs = atUs;
        public readonly long Order = order;
        public readonly Action Happening = happening;

        public bool IsBefore(in Planned other) => AtUs < other.AtUs || (AtUs == other.AtUs && Order < other.Order);
    }
}

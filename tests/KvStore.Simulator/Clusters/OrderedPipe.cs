using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Clusters;

/// <summary>
/// One direction of a client's connection: what is put in comes out later, in order and once, as TCP has it; while the link is cut or the receiver stands still it waits. When that takes too long the pipe is stuck for good.
/// </summary>
internal sealed class OrderedPipe(Timeline timeline, Random random, Func<bool> isBlocked, Action onStuck)
{
    private const int RetransmitUs = 30_000;
    private const long PatienceUs = 5_000_000;

    private readonly Queue<(long DueUs, Action Deliver)> _waiting = new();
    private long _lastDueUs;
    private bool _planned;
    private bool _closed;

    public void Send(Action deliver)
    {
        if (_closed)
        {
            return;
        }

        _lastDueUs = Math.Max(_lastDueUs, timeline.NowUs + random.Next(20, 400));
        _waiting.Enqueue((_lastDueUs, deliver));
        Plan(_lastDueUs - timeline.NowUs);
    }

    public void Close()
    {
        _closed = true;
        _waiting.Clear();
    }

    private void Plan(long delayUs)
    {
        if (!_planned)
        {
            _planned = true;
            timeline.After(delayUs, Deliver);
        }
    }

    private void Deliver()
    {
        _planned = false;
        while (!_closed && _waiting.TryPeek(out (long DueUs, Action Deliver) next))
        {
            if (next.DueUs > timeline.NowUs)
            {
                Plan(next.DueUs - timeline.NowUs);
                return;
            }

            if (isBlocked())
            {
                if (timeline.NowUs - next.DueUs > PatienceUs)
                {
                    Close();
                    onStuck();
                    return;
                }

                Plan(RetransmitUs);
                return;
            }

            _waiting.Dequeue();
            next.Deliver();
        }
    }
}

namespace KvStore.Core.Consensus;

/// <summary>
/// Reads that a replica which doesn't lead has sent on to its leader. Every one has a number of its own, drawn from a space that begins at a random place with each start, so that no answer to
/// another read, term or life of this replica can be taken for its own (etcd#20418). Nothing is sent again: a read whose answer is lost is given up after a while.
/// </summary>
internal sealed class ForwardedReads(int maxPending, Random random)
{
    private readonly List<Pending> _pending = [];
    private ulong _newest;

    /// <summary>Returns zero if too many wait already.</summary>
    public ulong Add(ulong context, ulong now)
    {
        if (_pending.Count >= maxPending)
        {
            return 0;
        }

        _newest = _newest == 0 ? (ulong)random.NextInt64(1, long.MaxValue) : _newest + 1;
        _pending.Add(new Pending(_newest, context, now));
        return _newest;
    }

    /// <summary>An answer has come. False if nobody waits for it any more.</summary>
    public bool TryTake(ulong number, out ulong context)
    {
        int at = _pending.FindIndex(read => read.Number == number);
        context = at < 0 ? 0 : _pending[at].Context;
        if (at >= 0)
        {
            _pending.RemoveAt(at);
        }

        return at >= 0;
    }

    /// <summary>Gives up reads that were asked before <paramref name="tick"/>.</summary>
    public void AbortBefore(ulong tick, List<ReadState> answers)
    {
        int old = 0;
        while (old < _pending.Count && _pending[old].AskedAtTick < tick)
        {
            answers.Add(new ReadState(_pending[old].Context, default, Aborted: true));
            old++;
        }

        _pending.RemoveRange(0, old);
    }

    /// <summary>The leader that was asked leads no more, as far as is known here.</summary>
    public void AbortAll(List<ReadState> answers) => AbortBefore(ulong.MaxValue, answers);

    private readonly record struct Pending(ulong Number, ulong Context, ulong AskedAtTick);
}

using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// Linearizable reads without writing to the log (Raft thesis, section 6.4). Reads that wait together share a round: one exchange of heartbeats that carry the round's number.
/// A member's answer confirms that round and all before it. Numbers are never used twice, so a late answer can't confirm a newer read (etcd#20418).
/// </summary>
internal sealed class ReadIndexQueue(int maxPending, int maxRounds)
{
    private readonly Queue<WaitingRead> _reads = new();
    private readonly Queue<Round> _rounds = new();
    private int _inRounds;
    private int _takenOfFirst;

    /// <summary>The newest round that was ever started.</summary>
    public ulong Newest { get; private set; }

    /// <summary>The newest round that still waits; zero if none does.</summary>
    public ulong Outstanding => _rounds.Count == 0 ? 0 : Newest;

    public bool CanStartRound => _reads.Count > _inRounds && _rounds.Count < maxRounds;

    /// <summary>False if too many wait already.</summary>
    public bool TryAdd(WaitingRead read)
    {
        if (_reads.Count >= maxPending)
        {
            return false;
        }

        _reads.Enqueue(read);
        return true;
    }

    /// <summary>All reads that wait without a round go into one, to be answered at <paramref name="commit"/>.</summary>
    public void StartRound(LogIndex commit)
    {
        Invariant.Assert(CanStartRound);
        Newest++;
        _rounds.Enqueue(new Round(Newest, commit, _reads.Count - _inRounds));
        _inRounds = _reads.Count;
    }

    /// <summary>A quorum has confirmed all rounds up to <paramref name="round"/>: takes the next read of those, and the index at which it is linearizable.</summary>
    public bool TryTakeConfirmed(ulong round, out WaitingRead read, out LogIndex index)
    {
        if (!_rounds.TryPeek(out Round first) || first.Number > round)
        {
            read = default;
            index = default;
            return false;
        }

        read = _reads.Dequeue();
        index = first.Index;
        _inRounds--;
        if (++_takenOfFirst == first.Reads)
        {
            _takenOfFirst = 0;
            _rounds.Dequeue();
        }

        return true;
    }

    /// <summary>The leadership is over: takes the next of all that wait.</summary>
    public bool TryTakeAny(out WaitingRead read)
    {
        _rounds.Clear();
        _inRounds = 0;
        _takenOfFirst = 0;
        return _reads.TryDequeue(out read);
    }

    private readonly record struct Round(ulong Number, LogIndex Index, int Reads);
}

/// <summary>A read that waits for its leader to be confirmed. <paramref name="Number"/>: the host's context if the leader itself is asked, else the number that the asker gave it.</summary>
internal readonly record struct WaitingRead(ulong Number, ReplicaId Asker);

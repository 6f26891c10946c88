using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// Linearizable reads without writing to the log (Raft thesis, section 6.4). Reads that wait together share a round: one exchange of heartbeats that carry the round's number.
/// A member's answer confirms that round and all before it. Numbers are never used twice, so a late answer can't confirm a newer read (etcd#20418).
/// </summary>
internal sealed class ReadIndexQueue(int maxPending, int maxRounds)
{
    private readonly Queue<ulong> _contexts = new();
    private readonly Queue<Round> _rounds = new();
    private int _inRounds;

    /// <summary>The newest round that was ever started.</summary>
    public ulong Newest { get; private set; }

    /// <summary>The newest round that still waits; zero if none does.</summary>
    public ulong Outstanding => _rounds.Count == 0 ? 0 : Newest;

    public bool IsEmpty => _contexts.Count == 0;

    public bool CanStartRound => _contexts.Count > _inRounds && _rounds.Count < maxRounds;

    public bool TryAdd(ulong context)
    {
        if (_contexts.Count >= maxPending)
        {
            return false;
        }

        _contexts.Enqueue(context);
        return true;
    }

    /// <summary>A number for an exchange of heartbeats that no read waits for.</summary>
    public ulong DrawRound() => ++Newest;

    /// <summary>All reads that wait without a round go into one, to be answered at <paramref name="commit"/>.</summary>
    public void StartRound(LogIndex commit)
    {
        Invariant.Assert(CanStartRound);
        Newest++;
        _rounds.Enqueue(new Round(Newest, commit, _contexts.Count - _inRounds));
        _inRounds = _contexts.Count;
    }

    /// <summary>A quorum has confirmed all rounds up to <paramref name="round"/>.</summary>
    public void Confirm(ulong round, List<ReadState> answers)
    {
        while (_rounds.TryPeek(out Round first) && first.Number <= round)
        {
            _rounds.Dequeue();
            _inRounds -= first.Reads;
            for (int i = 0; i < first.Reads; i++)
            {
                answers.Add(new ReadState(_contexts.Dequeue(), first.Index, Aborted: false));
            }
        }
    }

    /// <summary>The leadership is over: whoever waits is told so.</summary>
    public void AbortAll(List<ReadState> answers)
    {
        while (_contexts.TryDequeue(out ulong context))
        {
            answers.Add(new ReadState(context, default, Aborted: true));
        }

        _rounds.Clear();
        _inRounds = 0;
    }

    private readonly record struct Round(ulong Number, LogIndex Index, int Reads);
}

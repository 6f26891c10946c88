using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>
/// Changes of a shard's regime, on both sides: the leader proposes what is asked of it, one step after another, and answers when the wanted regime is applied; every replica applies the entries. What an open
/// shard must do between close and order is the business of <see cref="ClosingDialogue"/>.
/// </summary>
/// <remarks>
/// Nothing here is remembered but in the log and the view: a leader that dies leaves a regime behind, and the next one goes on from it. Every entry names the epoch that it changes, so one that was proposed
/// twice, or too late, has no effect.
/// </remarks>
internal sealed class RegimeSwitch(ReplicaClock clock, RaftNode raft, ReplicaPlaces places, ViewState view, RegimeState regimes, CompletionSink completions)
{
    private readonly record struct Waiter(ulong Handle, KeyspaceMode Wanted, long DeadlineMs);

    /// <summary>Callers that wait for a change at one time; more are refused.</summary>
    private const int MaxWaiters = 64;

    private readonly List<Waiter> _waiters = [];
    private LogIndex _newestEntry;
    private Term _scannedTerm;
    private long _pauseBeganMs = -1;

    /// <summary>The regime has changed, from what it was; the entry counts as applied.</summary>
    public Action<ShardRegime> Changed { get; set; } = _ => { };

    /// <summary>Whether this replica stands at the baseline and may go on with its data; null while it can't tell, because after a start not all of the data was read yet.</summary>
    public Func<Baseline, bool?> CanAdopt { get; set; } = _ => true;

    /// <summary>
    /// Whether this replica could settle a baseline: after an opening or a start it reads all of its data once in the background, and if the shard closed before that is done, its writes would wait for it.
    /// </summary>
    public Func<bool> IsReadyToClose { get; set; } = () => true;

    /// <summary>The next entry can't be applied before this replica knows what its data comes to. To be tried again.</summary>
    public bool WaitsForSums { get; private set; }

    public int PendingCount => _waiters.Count;

    /// <summary>An entry of the log that changes the regime is not applied here yet: a leader takes no data behind it (C13).</summary>
    public bool HoldsData => _newestEntry > view.Applied;

    /// <summary>
    /// This replica is not what the baseline wants, though the shard is ordered: it applies nothing more until a snapshot has come, for which its own writes are kept beside.
    /// </summary>
    public bool IsLate { get; set; }

    /// <summary>
    /// The regime is that of an open period whose beginning this replica has skipped, and that is not durable here yet. What it has is still what it had before, and does not count for what it is now.
    /// </summary>
    public bool IsSkipping { get; set; }

    /// <summary>For how long the last switch from open to ordered had the writes of this replica wait. In milliseconds.</summary>
    public long LastPauseMs { get; private set; }

    /// <summary>
    /// This replica leads, and nothing that its log holds can change the regime any more: only what it proposes from here on. Before that the regime says nothing of what is to come: an entry of a caller that has
    /// long given up, or of a leader that has died, may still be applied.
    /// </summary>
    private bool IsSettled => raft.State == RaftRole.Leader && view.AppliedTerm == raft.Term && !HoldsData && !IsLate;

    private ShardRegime? _beforeApplied;

    /// <summary>This replica leads, and the shard has this mode and keeps it until somebody asks for another.</summary>
    public bool StaysIn(KeyspaceMode mode) => IsSettled && Has(mode) && _waiters.TrueForAll(waiter => waiter.Wanted == mode);

    public void Begin(ulong handle, KeyspaceMode wanted, long deadlineMs)
    {
        var asked = new ClientOperation { Handle = handle };
        if (raft.State != RaftRole.Leader)
        {
            NodeId leader = raft.Leader.IsNone ? default : places.NodeOf(raft.Leader);
            completions.Refuse(
                asked,
                leader.IsNone ? RefusalCode.NoLeader : RefusalCode.NotLeader,
                leader.IsNone ? "The shard has no leader at the moment; try again in a moment." : "Another replica leads this shard.",
                leader);
        }
        else if (wanted.Contradiction is { } contradiction)
        {
            completions.Refuse(asked, RefusalCode.InvalidArgument, contradiction);
        }
        else if (Has(wanted) && IsSettled)
        {
            Supersede(wanted);
            completions.Add(new Completion { Handle = handle, Outcome = Outcome.Done });
        }
        else if (_waiters.Count >= MaxWaiters)
        {
            completions.Refuse(asked, RefusalCode.Overloaded, "Too many callers wait for this shard to change its mode; try again in a moment.");
        }
        else if (regimes.Current.Kind == RegimeKind.Closing && wanted.Partition != PartitionChoice.Ap && wanted != regimes.Current.Target)
        {
            completions.Refuse(asked, RefusalCode.ChangePending, $"The shard is on its way to {regimes.Current.Target}; ask again when it is there.");
        }
        else
        {
            Supersede(wanted);
            _waiters.Add(new Waiter(handle, wanted, deadlineMs));
            Advance();
        }
    }

    /// <summary>The newest wish counts: who waits for another one would wait in vain, or undo it.</summary>
    private void Supersede(KeyspaceMode wanted)
    {
        for (int i = _waiters.Count - 1; i >= 0; i--)
        {
            // Nobody waits for the answer of handle 0: who asks so asks again and again, and the last time is enough.
            if (_waiters[i].Wanted != wanted || _waiters[i].Handle == 0)
            {
                completions.Unknown(_waiters[i].Handle, RefusalCode.ChangePending, $"Somebody has asked for {wanted} since; the shard may have been {_waiters[i].Wanted} in between.");
                _waiters.RemoveAt(i);
            }
        }
    }

    /// <summary>Proposes an entry, once the one before it is applied.</summary>
    public bool TryPropose(RegimeEntry entry)
    {
        if (!IsSettled || raft.Propose(entry.Encode(), out _, out LogIndex index) != ProposeResult.Accepted)
        {
            return false;
        }

        _newestEntry = index;
        return true;
    }

    /// <summary>In every turn of a leader: what it has of its predecessors in its log counts as if it had proposed it.</summary>
    public void EnterTerm()
    {
        if (_scannedTerm == raft.Term || raft.State != RaftRole.Leader)
        {
            return;
        }

        // What an earlier leadership of this replica proposed may have been replaced.
        _scannedTerm = raft.Term;
        _newestEntry = LogIndex.Zero;
        foreach (ref readonly Entry entry in raft.EntriesAbove(raft.AppliedIndex).Span)
        {
            if (RegimeEntry.Is(entry))
            {
                _newestEntry = LogIndex.Max(_newestEntry, entry.Index);
            }
        }
    }

    /// <summary>Applies a committed entry. False: this replica can't follow, and nothing has changed.</summary>
    public bool TryApply(in Entry entry)
    {
        RegimeEntry change = RegimeEntry.Decode(entry.Payload);
        bool ordersThis = change.Step == RegimeStep.Order && regimes.Current.After(change, entry.Index) is not null;
        bool? adopts = ordersThis ? CanAdopt(change.Baseline!) : true;
        WaitsForSums = adopts is null;
        IsLate = adopts == false;
        if (adopts != true)
        {
            return false;
        }

        _beforeApplied = regimes.Apply(change, entry.Index);
        return true;
    }

    /// <summary>The entry counts as applied, so what follows from it may be sealed with it.</summary>
    public void AfterApplied()
    {
        if (_beforeApplied is { } before)
        {
            _beforeApplied = null;
            MeasurePause(before.Kind);
            Changed(before);
            AnswerSatisfied();
            Advance();
        }
    }

    /// <summary>The view was replaced, or the log was skipped.</summary>
    public void OnSkipped()
    {
        IsLate = false;
        IsSkipping = false;
        _pauseBeganMs = -1;
        AnswerSatisfied();
    }

    public void OnTick()
    {
        for (int i = _waiters.Count - 1; i >= 0; i--)
        {
            if (_waiters[i].DeadlineMs <= clock.NowMs)
            {
                completions.Unknown(_waiters[i].Handle, RefusalCode.DeadlineExceeded, "The deadline passed before the shard had the wanted mode; it is still on its way there.");
                _waiters.RemoveAt(i);
            }
        }

        // Who asks for what is in force already waits until nothing that was proposed before can change it.
        AnswerSatisfied();
        Advance();
    }

    public void OnLeadershipEnded() => Fail(RefusalCode.LeadershipLost, "The leadership moved before the shard had the wanted mode; ask the new leader, which goes on with it.");

    public void Fail(RefusalCode code, string reason)
    {
        foreach (Waiter waiter in _waiters)
        {
            completions.Unknown(waiter.Handle, code, reason);
        }

        _waiters.Clear();
    }

    private bool Has(KeyspaceMode wanted) => regimes.Current.Kind != RegimeKind.Closing && regimes.Current.Mode == wanted;

    private void AnswerSatisfied()
    {
        for (int i = IsSettled ? _waiters.Count - 1 : -1; i >= 0; i--)
        {
            if (Has(_waiters[i].Wanted))
            {
                completions.Add(new Completion { Handle = _waiters[i].Handle, Outcome = Outcome.Done });
                _waiters.RemoveAt(i);
            }
        }
    }

    /// <summary>The next step towards what the newest caller wants.</summary>
    private void Advance()
    {
        if (_waiters.Count == 0 || !IsSettled)
        {
            return;
        }

        KeyspaceMode wanted = _waiters[^1].Wanted;
        bool toAp = wanted.Partition == PartitionChoice.Ap;
        RegimeStep? step = regimes.Current.Kind switch
        {
            _ when Has(wanted) => null,
            RegimeKind.Ordered => toAp ? RegimeStep.Open : RegimeStep.SetMode,
            RegimeKind.Open => toAp ? RegimeStep.SetMode : RegimeStep.Close,
            RegimeKind.Closing when toAp => RegimeStep.Reopen,
            _ => null,
        };
        if (step is RegimeStep.Close && (places.Members.Config.IsJoint || !IsReadyToClose()))
        {
            // The members that must hold the baseline are not settled, or this replica would keep all waiting.
            return;
        }

        if (step is { } next)
        {
            TryPropose(new RegimeEntry(next, regimes.Epoch, wanted));
        }
    }

    private void MeasurePause(RegimeKind before)
    {
        if (regimes.Current.Kind == RegimeKind.Closing)
        {
            _pauseBeganMs = clock.NowMs;
        }
        else if (before == RegimeKind.Closing && _pauseBeganMs >= 0)
        {
            LastPauseMs = clock.NowMs - _pauseBeganMs;
            _pauseBeganMs = -1;
        }
    }
}

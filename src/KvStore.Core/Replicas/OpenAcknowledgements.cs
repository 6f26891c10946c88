using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>
/// The writes that this replica has minted and not answered, and when each is: async when it is durable here; sync when it is durable on a majority, or on every replica that can be reached. A write that is sent again is
/// answered as the first time.
/// </summary>
internal sealed class OpenAcknowledgements(
    RegimeState regimes,
    ReplicaPlaces places,
    ReplicaClock clock,
    DottedReplica dotted,
    DottedJournal journal,
    PeerReachability peers,
    OpenSessions sessions,
    CompletionSink completions)
{
    private readonly OpenRequests _requests = new();
    private readonly PendingOpenWrites _pending = new(places);

    public int Count => _pending.Count;

    /// <summary>The number that the next write gets.</summary>
    public ulong Next => _pending.Next;

    /// <summary>Whether the request was made here before; then it is answered as it was, or when the first attempt is.</summary>
    public bool TryAnswerRepeated(in ClientOperation operation)
    {
        if (!_requests.TryRepeat(operation, out ulong earlier))
        {
            return false;
        }

        AnswerRepeated(operation, earlier);
        return true;
    }

    /// <summary>A write was minted and published.</summary>
    public void Await(in ClientOperation operation, in DottedWrite written)
    {
        ulong pending = _pending.Add(new PendingOpenWrite
        {
            Handle = operation.Handle,
            DeadlineMs = operation.DeadlineMs,
            Number = written.Change.Number,
            Dot = written.Dot,
            Version = OpenReads.EncodeVersion(written.Written),
            Counter = written.Sum,
            Session = sessions.After(operation, written.Dot),
        });
        _requests.Remember(operation, pending);
        if (regimes.Replication == Replication.BestEffort)
        {
            Answer(pending, acknowledgements: 1, degraded: false);
        }
    }

    /// <summary>The increment has come here from the replica that took the first attempt. It is done, on two replicas at least as soon as this one has it on its disk, and says only what is known.</summary>
    public void AwaitCountedElsewhere(in ClientOperation operation, in DottedWrite counted)
    {
        ulong pending = _pending.Add(new PendingOpenWrite
        {
            Handle = operation.Handle,
            DeadlineMs = operation.DeadlineMs,
            Number = dotted.Number,
            Version = OpenReads.EncodeVersion(counted.Written),
            Counter = counted.Sum,
            IsKnownFromElsewhere = true,
        });
        _requests.Remember(operation, pending);
        AnswerIfSatisfied(pending, ref _pending.Find(pending));
    }

    /// <summary>A peer has said that it holds a write durably.</summary>
    public void OnAcknowledged(NodeId from, in ReplicateAcknowledged acknowledged)
    {
        dotted.OnAcknowledged(from, acknowledged);
        ref PendingOpenWrite write = ref _pending.Find(acknowledged.Operation);
        int place = places.PeerIndexOf(from);
        if (place >= 0 && acknowledged.Actor == dotted.Self && !System.Runtime.CompilerServices.Unsafe.IsNullRef(ref write))
        {
            write.HeldBy |= ReplicaPlaces.BitOf(place);
            AnswerIfSatisfied(acknowledged.Operation, ref write);
        }
    }

    /// <summary>A push or its acknowledgement may have been lost, and the peer has got the write by pulling: its durable clock says so.</summary>
    public void OnAdvertised(NodeId from, ClockAdvertised advertised)
    {
        int place = places.PeerIndexOf(from);
        if (place < 0 || advertised.Recovering || regimes.Replication != Replication.Sync)
        {
            return;
        }

        foreach (ulong operation in _pending.Unanswered())
        {
            ref PendingOpenWrite write = ref _pending.Find(operation);
            if ((write.HeldBy & ReplicaPlaces.BitOf(place)) == 0 && advertised.Clock.Covers(write.Dot))
            {
                write.HeldBy |= ReplicaPlaces.BitOf(place);
                AnswerIfSatisfied(operation, ref write);
            }
        }
    }

    /// <summary>More is durable here, or other replicas can be reached.</summary>
    public void AnswerSatisfied()
    {
        foreach (ulong operation in _pending.DurableUpTo(journal.Durable))
        {
            AnswerIfSatisfied(operation, ref _pending.Find(operation));
        }
    }

    /// <summary>The shard is ordered, from exactly the data that is here: writes that waited are on a majority.</summary>
    public void AnswerAll()
    {
        foreach (ulong operation in _pending.Unanswered())
        {
            Answer(operation, PartitionPolicy.Majority(places.Members.Config.Voters.Length), degraded: false);
        }
    }

    public void OnMembersChanged()
    {
        _pending.OnMembersChanged();
        AnswerSatisfied();
    }

    public void OnTick()
    {
        foreach (ulong operation in _pending.Unanswered())
        {
            ref PendingOpenWrite write = ref _pending.Find(operation);
            if (write.DeadlineMs <= clock.NowMs)
            {
                completions.Unknown(write.Handle, RefusalCode.DeadlineExceeded, "Too few replicas confirmed the write in time; it is here and will spread.");
                _requests.NoteAnswer(operation, new OpenAnswer(OpenAnswerState.Unresolved));
                _pending.Remove(operation);
            }
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        foreach (ulong operation in _pending.Unanswered())
        {
            completions.Unknown(_pending.Find(operation).Handle, code, reason);
            _pending.Remove(operation);
        }
    }

    private void AnswerRepeated(in ClientOperation operation, ulong earlier)
    {
        ref PendingOpenWrite write = ref _pending.Find(earlier);
        if (System.Runtime.CompilerServices.Unsafe.IsNullRef(ref write))
        {
            OpenAnswer answer = _requests.AnswerOf(earlier);
            if (answer.State != OpenAnswerState.Done)
            {
                completions.Unknown(operation.Handle, RefusalCode.DeadlineExceeded, "The first attempt ran out of time before enough replicas had confirmed it; it is here and will spread.");
                return;
            }

            completions.Add(new Completion
            {
                Handle = operation.Handle,
                Outcome = Outcome.Done,
                Version = answer.Version,
                Acknowledgements = answer.Acknowledgements,
                Degraded = answer.Degraded,
                Counter = answer.Counter,
                Session = sessions.Now(operation),
            });
            return;
        }

        write.PassTo(operation, sessions.Now(operation), completions);
    }

    /// <summary>Async: durable here. Sync: durable on a majority, or on every replica that can be reached.</summary>
    private void AnswerIfSatisfied(ulong operation, ref PendingOpenWrite write)
    {
        if (write.Number > journal.Durable)
        {
            return;
        }

        if (write.IsKnownFromElsewhere)
        {
            Answer(operation, 1, degraded: regimes.Replication == Replication.Sync);
            return;
        }

        int copies = 1 + System.Numerics.BitOperations.PopCount(write.HeldBy);
        if (regimes.Replication != Replication.Sync || places.IsMajority(write.HeldBy | ReplicaPlaces.SelfBit))
        {
            Answer(operation, copies, degraded: false);
            return;
        }

        if (!completions.MayDegrade)
        {
            return;
        }

        if (peers.HaveAllReachableVoters(write.HeldBy))
        {
            Answer(operation, copies, degraded: true);
        }
    }

    private void Answer(ulong operation, int acknowledgements, bool degraded)
    {
        ref PendingOpenWrite write = ref _pending.Find(operation);
        completions.Add(new Completion
        {
            Handle = write.Handle,
            Outcome = Outcome.Done,
            Version = write.Version,
            Acknowledgements = acknowledgements,
            Degraded = degraded,
            Counter = write.Counter,
            Session = write.Session,
        });
        _requests.NoteAnswer(operation, new OpenAnswer(OpenAnswerState.Done, acknowledgements, degraded, write.Version, write.Counter));
        _pending.Remove(operation);
    }
}

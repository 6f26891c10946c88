using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

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

    /// <summary>Peers that said last that they are no whole copy: their clocks speak of more than they hold.</summary>
    private readonly HashSet<NodeId> _recovering = [];

    public int Count => _pending.Count;

    /// <summary>The number that the next write gets.</summary>
    public ulong Next => _pending.Next;

    /// <summary>
    /// Whether the request was made here before; then it is answered as it was, or when the first attempt is. Or elsewhere, and the write has come here; then it is done. (What an increment came to is remembered in the counter.)
    /// </summary>
    public bool TryAnswerRepeated(in ClientOperation operation)
    {
        if (_requests.TryRepeat(operation, out ulong earlier))
        {
            AnswerRepeated(operation, earlier);
            return true;
        }

        if (operation.Kind == OperationKind.Increment || !_requests.TryFindElsewhere(operation.Request, out Dot dot))
        {
            return false;
        }

        AwaitWrittenElsewhere(operation, dot);
        return true;
    }

    /// <summary>The write of this request has come from the replica that made it.</summary>
    public void NoteWrittenElsewhere(in RequestId request, Dot dot) => _requests.RememberElsewhere(request, dot);

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

    /// <summary>
    /// The write has come here from the replica that took the first attempt: done as soon as it is durable here. The version is that of its dot alone. What it had seen is not known any more, and one of what is here now would speak of
    /// values that the caller has never seen.
    /// </summary>
    private void AwaitWrittenElsewhere(in ClientOperation operation, Dot dot)
    {
        DottedObject alone = operation.Kind == OperationKind.Put
            ? DottedObject.Single(new DottedValue(dot, default, default), VersionVector.Empty)
            : DottedObject.Gone(VersionVector.Of(dot));
        ulong pending = _pending.Add(new PendingOpenWrite
        {
            Handle = operation.Handle,
            DeadlineMs = operation.DeadlineMs,
            Number = dotted.Number,
            Dot = dot,
            HeldBy = HoldersOf(dot),
            Version = OpenReads.EncodeVersion(alone),
            Session = sessions.After(operation, dot),
            IsKnownFromElsewhere = true,
        });
        _requests.Remember(operation, pending);
        if (regimes.Replication == Replication.BestEffort)
        {
            Answer(pending, acknowledgements: 1, degraded: false);
            return;
        }

        AnswerIfSatisfied(pending, ref _pending.Find(pending));
    }

    /// <summary>The peers that have told that they hold it durably.</summary>
    private ulong HoldersOf(Dot dot)
    {
        ulong holders = 0;
        for (int i = 0; i < places.Peers.Length; i++)
        {
            holders |= !_recovering.Contains(places.Peers[i]) && dotted.KnownOf(places.Peers[i]).Covers(dot) ? ReplicaPlaces.BitOf(i) : 0;
        }

        return holders;
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
        if (advertised.Recovering)
        {
            _recovering.Add(from);
        }
        else
        {
            _recovering.Remove(from);
        }

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

        int copies = 1 + System.Numerics.BitOperations.PopCount(write.HeldBy);
        if (write.IsKnownFromElsewhere)
        {
            Answer(operation, copies, degraded: regimes.Replication == Replication.Sync && !places.IsMajority(write.HeldBy | ReplicaPlaces.SelfBit));
            return;
        }

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

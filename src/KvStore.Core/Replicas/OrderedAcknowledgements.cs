using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Replicas;

/// <summary>
/// The proposals of this leader's term that wait, and when each is answered: applied (sync, and every conditional write), durable here (async), queued (best-effort). An answer before the commit is given only as far as
/// <see cref="EarlyAcknowledgements"/> lets it run ahead.
/// </summary>
internal sealed class OrderedAcknowledgements(
    RegimeState regimes,
    ReplicaPlaces places,
    ReplicaClock clock,
    RaftNode raft,
    CompletionSink completions,
    EarlyAcknowledgements early,
    PendingWrites pending)
{
    public const string Late = "The deadline passed before the shard could answer.";

    private readonly List<ulong> _expired = [];

    /// <summary>Requests proposed in this term that are not applied yet. Empty in sync mode.</summary>
    private readonly HashSet<(ulong Session, ulong Sequence)> _unapplied = [];

    /// <summary>The term that the pending writes, <see cref="_unapplied"/> and <see cref="HighestEarly"/> belong to.</summary>
    private Term _term;

    /// <summary>The newest index acknowledged before its commit: leader reads wait for it, so that an early acknowledgement is never followed by an older answer.</summary>
    public LogIndex HighestEarly { get; private set; }

    /// <summary>An entry with this request is on its way in the log.</summary>
    public bool IsUnderWay(RequestId request) => _unapplied.Contains((request.Session, request.Sequence));

    /// <summary>An operation was proposed: it is answered when its keyspace's replication says so, at once perhaps.</summary>
    /// <param name="operation">What was proposed.</param>
    /// <param name="index">Where in the log.</param>
    /// <param name="term">In which term.</param>
    /// <param name="bytes">Of the entry.</param>
    /// <param name="mayBeEarly">It is sure to take effect once it is applied.</param>
    public void Await(in ClientOperation operation, LogIndex index, Term term, int bytes, bool mayBeEarly)
    {
        if (regimes.Replication != Replication.Sync && !operation.Request.IsNone)
        {
            _unapplied.Add((operation.Request.Session, operation.Request.Sequence));
        }

        bool now = mayBeEarly && regimes.Replication == Replication.BestEffort && raft.HasQuorumContact && TryNoteEarly(index, term, bytes);
        pending.Add(new PendingWrite
        {
            Index = index,
            Term = term,
            Bytes = bytes,
            Handle = now ? 0 : operation.Handle,
            DeadlineMs = operation.DeadlineMs,
            Early = mayBeEarly && regimes.Replication == Replication.Async,
            InSession = !operation.Session.IsEmpty,
        });
        if (now)
        {
            AcknowledgeEarly(operation.Handle, index, term, !operation.Session.IsEmpty);
        }
    }

    /// <summary>Async: what is durable here is acknowledged, as far as the keyspace lets acknowledgements run ahead. What is past that waits for its commit, or for room.</summary>
    public void AcknowledgeDurable()
    {
        if (regimes.Replication != Replication.Async || !raft.HasQuorumContact || raft.Term != _term)
        {
            return;
        }

        while (pending.TryPeekEarly(raft.StableIndex, out PendingWrite write) && TryNoteEarly(write.Index, write.Term, write.Bytes))
        {
            pending.TakeEarly();
            AcknowledgeEarly(write.Handle, write.Index, write.Term, write.InSession);
        }
    }

    /// <summary>An entry was applied: whoever waits for it gets the result.</summary>
    public void AnswerApplied(in Entry entry, in ApplyResult result)
    {
        while (pending.TryTakeApplied(entry.Index, out PendingWrite write))
        {
            if (write.Handle == 0)
            {
                continue;
            }

            // Another entry at this index means that the proposed one is gone for good.
            completions.Add(write.Index == entry.Index && write.Term == entry.Term
                ? Answer(write.Handle, result) with { Session = PositionAt(write.InSession, entry.Term, entry.Index) }
                : new Completion { Handle = write.Handle, Outcome = Outcome.NotDone, Code = RefusalCode.LeadershipLost });
        }
    }

    /// <summary>The request of an entry that was applied is no longer under way.</summary>
    public void ForgetUnapplied(in Entry entry)
    {
        if (_unapplied.Count > 0)
        {
            RequestId request = WriteCommand.Decode(entry.Payload.Span).Request;
            _unapplied.Remove((request.Session, request.Sequence));
        }
    }

    /// <summary>The answer that the result of an apply comes to.</summary>
    public Completion Answer(ulong handle, in ApplyResult result) => new()
    {
        Handle = handle,
        Outcome = result.Outcome,
        Code = result.Code,
        OrderedVersion = result.Version,
        Counter = result.Counter,
        Transaction = result.Transaction,
        Acknowledgements = PartitionPolicy.Majority(places.Members.Config.Voters.Length),
        Reason = result.Code switch
        {
            RefusalCode.RequestExpired => "The request id is older than this shard remembers; whether it was applied can't be told. Read the key before writing again.",
            RefusalCode.RequestReused => "The request id was used for another write; draw a new one for each write.",
            RefusalCode.WrongType => "The key holds a value that is no counter; delete it first, or count under another key.",
            RefusalCode.InvalidArgument => "The increment would take the counter out of the range of 64 bits.",
            RefusalCode.TooLarge => Transactions.TransactionGate.AnswerTooLong,
            RefusalCode.Overloaded => "Too many unfinished requests in this client session, or too many sessions.",
            _ => null,
        },
    };

    /// <summary>Between two turns a leadership can end and another begin here: what waits for the first one must not be taken for the second's.</summary>
    public void EnterTerm()
    {
        if (_term != raft.Term)
        {
            EndLeadership();
            _term = raft.Term;
        }
    }

    public void EndLeadership()
    {
        HighestEarly = LogIndex.Zero;
        _unapplied.Clear();
        while (pending.TryTakeAny(out PendingWrite write))
        {
            if (write.Handle != 0)
            {
                completions.Unknown(write.Handle, RefusalCode.LeadershipLost, "The leadership moved before the write was known to be committed; it may still be.");
            }
        }
    }

    public void OnTick()
    {
        _expired.Clear();
        pending.TakeExpired(clock.NowMs, _expired);
        foreach (ulong handle in _expired)
        {
            completions.Unknown(handle, RefusalCode.DeadlineExceeded, Late);
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        while (pending.TryTakeAny(out PendingWrite write))
        {
            completions.Unknown(write.Handle, code, reason);
        }
    }

    private bool TryNoteEarly(LogIndex index, Term term, int bytes) => early.TryAdd(index, term, bytes, clock.NowMs, clock.WallMs);

    private void AcknowledgeEarly(ulong handle, LogIndex index, Term term, bool inSession)
    {
        HighestEarly = LogIndex.Max(HighestEarly, index);
        completions.Add(new Completion { Handle = handle, Outcome = Outcome.Done, OrderedVersion = index, Acknowledgements = 1, Session = PositionAt(inSession, term, index) });
    }

    /// <summary>A write stands behind all that its session had seen: the gate has looked.</summary>
    private ReadOnlyMemory<byte> PositionAt(bool inSession, Term term, LogIndex index) => inSession ? SessionPosition.OfLog(regimes.Epoch, term, index).ToBytes() : default;
}

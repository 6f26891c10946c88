using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// The facts that the collaborators of <see cref="RaftNode"/> share: term, vote, role, log, commit, and what waits to be handed out.
/// Invariants: 1. applied &lt;= handed out for apply &lt;= commit &lt;= last; 2. commit and applied never decrease; 3. boundary &lt;= applied; 4. one vote per term.
/// </summary>
internal sealed class RaftState
{
    private readonly Random _random;

    public RaftState(RaftOptions options, ReplicaId self, MembershipConfig members, RaftRecoveredState recovered, Random random)
    {
        options.Validate();
        Invariant.Assert(!self.IsNone);
        Options = options;
        Self = self;
        Members = members;
        MembersIndex = recovered.Applied;
        MembersContext = recovered.MembershipContext;
        _random = random;
        Log = new RaftLog(recovered.BoundaryIndex, recovered.BoundaryTerm, recovered.Entries.Span);
        Invariant.Assert(recovered.Applied >= Log.BoundaryIndex && recovered.Applied <= Log.LastIndex);
        Persist = new PersistTracker(Log.LastIndex);
        Applied = recovered.Applied;
        HandedToApply = Applied;
        Commit = LogIndex.Max(Applied, LogIndex.Min(recovered.HardState.Commit, Log.LastIndex));
        CommitReplacedConfigurations();

        // Entries of a term may have become durable when the hard state behind them was torn off. Nothing was acknowledged in that term, no vote either.
        bool torn = Log.LastTerm > recovered.HardState.Term;
        Term = torn ? Log.LastTerm : recovered.HardState.Term;
        Vote = torn ? default : recovered.HardState.Vote;
        Forwarded = new ForwardedReads(options.MaxPendingReads, random);
        Quarantine = new Quarantine(this);
        RestartElectionTimer();
    }

    public RaftOptions Options { get; }

    public ReplicaId Self { get; }

    /// <summary>The configuration in force: that of the last applied configuration entry.</summary>
    public MembershipConfig Members { get; private set; }

    /// <summary>An index from which on <see cref="Members"/> is in force.</summary>
    public LogIndex MembersIndex { get; private set; }

    public ReadOnlyMemory<byte> MembersContext { get; private set; }

    public RaftLog Log { get; }

    public PersistTracker Persist { get; }

    /// <summary>Reads that were sent on to the leader of this term.</summary>
    public ForwardedReads Forwarded { get; }

    public Quarantine Quarantine { get; }

    public Term Term { get; private set; }

    public ReplicaId Vote { get; private set; }

    public ReplicaId Leader { get; private set; }

    public RaftRole Role { get; private set; }

    public LogIndex Commit { get; private set; }

    public LogIndex Applied { get; private set; }

    public LogIndex HandedToApply { get; private set; }

    /// <summary>Ticks since the start, from 1, so that 0 can stand for "never".</summary>
    public ulong Now { get; private set; } = 1;

    public int ElectionElapsed { get; private set; }

    public int ElectionTimeout { get; private set; }

    /// <summary>The snapshot that is being made durable; the log stands still meanwhile.</summary>
    public LogIndex? Installing { get; set; }

    /// <summary>The state machine waits for a snapshot of the state: entries are not handed out.</summary>
    public bool HoldsApply { get; private set; }

    /// <summary>The replica has agreed that the group falls silent: it isn't ticked. See <see cref="Quiescence"/>.</summary>
    public bool IsQuiet { get; set; }

    /// <summary>What the next <see cref="Ready"/> will carry.</summary>
    public Outbox Out { get; private set; } = new();

    public HardState HardState => new(Term, Vote, Commit);

    public bool IsLeader => Role == RaftRole.Leader;

    /// <summary>Whether a leader was heard so recently that an election can only do harm (Raft thesis, section 4.2.3).</summary>
    public bool InLeaderLease => !Leader.IsNone && Role == RaftRole.Follower && ElectionElapsed < Options.ElectionTicksMin;

    public void AdvanceClock()
    {
        Now++;
        ElectionElapsed++;
    }

    public void RestartElectionTimer()
    {
        ElectionElapsed = 0;
        ElectionTimeout = _random.Next(Options.ElectionTicksMin, Options.ElectionTicksMax + 1);
    }

    /// <summary>The leader is known to be out of reach: elections are no longer refused for its sake, and the own one comes as if the shortest timeout had passed.</summary>
    public void EndLeaderLease() => ElectionElapsed = Math.Max(ElectionElapsed, Options.ElectionTicksMin);

    /// <summary>For so many ticks a replica that asked for pre-votes first is waited for: longer than the questions take, far shorter than any election timeout.</summary>
    public int RivalTicks => Math.Max(1, Options.ElectionTicksMin / 5);

    /// <summary>Somebody else was just told that it could win an election: the own campaign waits for its request, never longer than a little past the longest timeout.</summary>
    public void AwaitRival() => ElectionTimeout = Math.Max(ElectionTimeout, Math.Min(ElectionElapsed, Options.ElectionTicksMax) + RivalTicks);

    /// <summary>A sign of life from the leader of this term. The drawn timeout stays.</summary>
    public void HeardFromLeader(ReplicaId leader)
    {
        Leader = leader;
        ElectionElapsed = 0;
    }

    /// <summary>Enters a role. A higher term forgets the vote of the older one.</summary>
    public void Enter(RaftRole role, Term term, ReplicaId leader)
    {
        Invariant.Assert(term >= Term);
        if (term > Term)
        {
            Term = term;
            Vote = default;
        }

        Role = role;
        Leader = leader;
        IsQuiet = false;
        Forwarded.AbortAll(Out.Reads);
        RestartElectionTimer();
    }

    public void VoteFor(ReplicaId candidate)
    {
        Invariant.Assert(Vote.IsNone || Vote == candidate);
        Vote = candidate;
    }

    /// <summary>Returns whether that is news. Commit never goes back.</summary>
    public bool CommitUpTo(LogIndex index)
    {
        if (index <= Commit)
        {
            return false;
        }

        Invariant.Assert(index <= Log.LastIndex);
        Commit = index;
        return true;
    }

    public void OnHandedToApply(LogIndex last)
    {
        Invariant.Assert(last > HandedToApply && last <= Commit);
        HandedToApply = last;
    }

    public void OnApplied(LogIndex index)
    {
        Invariant.Assert(index >= Applied && index <= HandedToApply);
        Applied = index;
    }

    public void HoldApply()
    {
        HoldsApply = true;
        HandedToApply = Applied;
    }

    public void OnStateReplaced(LogIndex index, MembershipConfig members, ReadOnlyMemory<byte> context)
    {
        Invariant.Assert(HoldsApply && index > Applied && index <= Commit);
        HoldsApply = false;
        Applied = index;
        HandedToApply = index;
        Members = members;
        MembersContext = context.ToArray();
        MembersIndex = LogIndex.Max(MembersIndex, index);
    }

    public void OnMembership(MembershipConfig members, ReadOnlyMemory<byte> context, LogIndex index)
    {
        Invariant.Assert(index > MembersIndex || Installing is not null);
        Members = members;
        MembersContext = context.ToArray();
        MembersIndex = index;
    }

    /// <summary>The last configuration entry above what is applied; zero if there is none.</summary>
    public LogIndex NewestUnappliedConfiguration() => LastConfigurationIn(Applied.Next, Log.LastIndex);

    /// <summary>The last configuration entry from <paramref name="from"/> to <paramref name="last"/>; zero if there is none.</summary>
    public LogIndex LastConfigurationIn(LogIndex from, LogIndex last)
    {
        ReadOnlySpan<Entry> entries = Log.Slice(LogIndex.Max(from, Log.FirstIndex), last).Span;
        for (int i = entries.Length - 1; i >= 0; i--)
        {
            if (entries[i].Kind == EntryKind.Configuration)
            {
                return entries[i].Index;
            }
        }

        return LogIndex.Zero;
    }

    /// <summary>Replaces the uncommitted end of the log.</summary>
    public void TruncateFrom(LogIndex from)
    {
        Invariant.Assert(from > Commit);
        Out.Replaced.AddRange(Log.Slice(from, Log.LastIndex).Span);
        Log.TruncateFrom(from);
        Persist.OnTruncated(from);
    }

    /// <summary>A durable snapshot takes the place of the whole log.</summary>
    public void RestartLogAt(LogIndex index, Term term)
    {
        Invariant.Assert(index > Commit || (Quarantine.LogIsVoid && index == Commit));
        Invariant.Assert(index >= HandedToApply);
        LogIndex firstUncommitted = LogIndex.Max(Commit.Next, Log.FirstIndex);
        Out.Replaced.AddRange(Log.Slice(firstUncommitted, Log.LastIndex).Span);
        Log.ResetTo(index, term);
        Persist.OnReset(index);
        Commit = index;
        Applied = index;
        HandedToApply = index;
        HoldsApply = false;
    }

    /// <summary>
    /// A configuration that another one follows in the log was applied by the leader that proposed the other, so it is committed. A restart that lost the commit index must not forget that: a replica
    /// that campaigned two configurations back could win a majority that no longer decides anything.
    /// </summary>
    private void CommitReplacedConfigurations()
    {
        LogIndex newest = NewestUnappliedConfiguration();
        if (newest > LogIndex.Zero)
        {
            CommitUpTo(LastConfigurationIn(Applied.Next, newest.Previous));
        }
    }

    /// <summary>Gives away what was collected, in exchange for an empty box.</summary>
    public Outbox ChangeOutbox(Outbox empty)
    {
        Outbox full = Out;
        Out = empty;
        return full;
    }

    /// <summary>Starts a message that may leave at once.</summary>
    public ref RaftMessage SendNow(RaftMessageKind kind, ReplicaId to) => ref Start(Out.Now, kind, to);

    /// <summary>Starts a message that acknowledges something which must be durable first.</summary>
    public ref RaftMessage SendAfterPersist(RaftMessageKind kind, ReplicaId to) => ref Start(Out.AfterPersist, kind, to);

    private ref RaftMessage Start(MessageList list, RaftMessageKind kind, ReplicaId to)
    {
        ref RaftMessage message = ref list.Add();
        message.Kind = kind;
        message.From = Self;
        message.To = to;
        message.Term = Term;
        return ref message;
    }
}

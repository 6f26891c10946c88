using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Tests.Consensus;

/// <summary>
/// Replica 1 of a group (or another one), with everybody else played by hand: for what a node does with one message at a time, also with such as no honest member would send. Its disk is quick: whatever a Ready
/// hands out is durable when <see cref="Ready"/> returns, unless <see cref="SlowDisk"/> is set. Election timeouts are 10 ticks exactly.
/// </summary>
internal sealed class SingleNode
{
    public static readonly RaftOptions Options = new() { ElectionTicksMin = 10, ElectionTicksMax = 10, HeartbeatTicks = 3, SnapshotAnswerTicks = 5 };

    private readonly int _voters;

    public SingleNode(RaftOptions? options = null, int voters = 3, int learners = 0, RaftRecoveredState? recovered = null, MembershipConfig? group = null, ulong self = 1)
    {
        _voters = voters;
        MembershipConfig members = group ?? new MembershipConfig(Ids(1, voters), Ids(voters + 1, learners));
        Node = new RaftNode(options ?? Options, new ReplicaId(self), members, recovered ?? RaftRecoveredState.Empty, new Random(1));
    }

    public RaftNode Node { get; }

    public bool SlowDisk { get; set; }

    public List<Entry> Committed { get; } = [];

    public List<Entry> Replaced { get; } = [];

    public List<ReadState> Reads { get; } = [];

    public List<ReplicaId> SnapshotsWanted { get; } = [];

    public bool MustSync { get; private set; }

    public HardState? HardState { get; private set; }

    /// <summary>A log on the disk: terms from index 1 on.</summary>
    public static RaftRecoveredState Disk(ulong term, ulong commit, params ulong[] terms) => new()
    {
        HardState = new HardState(new Term(term), default, new LogIndex(commit)),
        Entries = Entries(1, terms),
    };

    public static Entry[] Entries(ulong first, params ulong[] terms) =>
        [.. terms.Select((term, i) => new Entry(new Term(term), new LogIndex(first + (ulong)i), EntryKind.Data, default))];

    /// <summary>A leader of term 1 with its first entry committed and applied, and both others (all others) in step with it.</summary>
    public static SingleNode Leader(RaftOptions? options = null, int voters = 3, int learners = 0)
    {
        var node = new SingleNode(options, voters, learners);
        node.Elect();
        for (ulong id = 2; id <= (ulong)(voters + learners); id++)
        {
            node.Accepts(id, 1);
        }

        node.Ready();
        node.Apply();
        return node;
    }

    /// <summary>A follower of replica 2 in the given term.</summary>
    public static SingleNode Follower(ulong term, RaftRecoveredState? recovered = null)
    {
        var node = new SingleNode(recovered: recovered);
        node.Step(RaftMessageKind.Heartbeat, 2, term);
        node.Ready();
        return node;
    }

    public void Elect()
    {
        Node.Campaign();
        Ready();
        EverybodyNeededAnswers(RaftMessageKind.PreVoteResponse, Node.Term.Value + 1);
        EverybodyNeededAnswers(RaftMessageKind.VoteResponse, Node.Term.Value);
    }

    public void Step(RaftMessageKind kind, ulong from, ulong term) => Step(new RaftMessage { Kind = kind, From = new ReplicaId(from), Term = new Term(term) });

    public void Step(RaftMessage message)
    {
        message.To = message.To.IsNone ? Node.Self : message.To;
        Node.Step(message);
    }

    public void Append(ulong term, ulong after, ulong afterTerm, ulong commit, params Entry[] entries) => Step(new RaftMessage
    {
        Kind = RaftMessageKind.Append,
        From = new ReplicaId(2),
        Term = new Term(term),
        Index = new LogIndex(after),
        LogTerm = new Term(afterTerm),
        Commit = new LogIndex(commit),
        Entries = entries,
    });

    public void Accepts(ulong from, ulong index) => Step(new RaftMessage { Kind = RaftMessageKind.AppendResponse, From = new ReplicaId(from), Term = Node.Term, Index = new LogIndex(index) });

    public void Beats(ulong from, ulong round = 0) => Step(new RaftMessage { Kind = RaftMessageKind.HeartbeatResponse, From = new ReplicaId(from), Term = Node.Term, Round = round });

    public LogIndex Propose(int bytes = 1)
    {
        Invariant.Assert(Node.Propose(new byte[bytes], out _, out LogIndex index) == ProposeResult.Accepted);
        return index;
    }

    public void Tick(int times)
    {
        for (int i = 0; i < times; i++)
        {
            Node.Tick();
        }
    }

    public void Apply() => Node.OnApplied(Node.CommitIndex);

    /// <summary>Takes a Ready and returns what is to be sent, first what may leave at once, then what waits for the disk.</summary>
    public RaftMessage[] Ready()
    {
        Ready ready = Node.TakeReady();
        RaftMessage[] now = Copy(ready.MessagesNow), after = Copy(ready.MessagesAfterPersist);
        Entry[] entries = ready.EntriesToPersist.ToArray();
        Committed.AddRange(ready.Committed.Span);
        Replaced.AddRange(ready.ReplacedEntries);
        Reads.AddRange(ready.ReadStates);
        SnapshotsWanted.AddRange(ready.SnapshotsWanted);
        MustSync = ready.MustSync;
        HardState = ready.HardState;
        if (!SlowDisk)
        {
            if (entries.Length > 0)
            {
                Node.OnPersisted(entries[^1].Index, entries[^1].Term);
            }

            foreach (RaftMessage own in after.Where(message => message.To == Node.Self))
            {
                Node.Step(own);
            }
        }

        return [.. now, .. after.Where(message => message.To != Node.Self)];
    }

    private void EverybodyNeededAnswers(RaftMessageKind kind, ulong term)
    {
        for (int id = 2; id <= (_voters / 2) + 1; id++)
        {
            Step(kind, (ulong)id, term);
        }

        Ready();
    }

    private static RaftMessage[] Copy(ReadOnlySpan<RaftMessage> messages)
    {
        RaftMessage[] copies = messages.ToArray();
        for (int i = 0; i < copies.Length; i++)
        {
            copies[i].Entries = copies[i].Entries.ToArray();
        }

        return copies;
    }

    private static IEnumerable<ReplicaId> Ids(int first, int count) => Enumerable.Range(first, count).Select(id => new ReplicaId((ulong)id));
}

using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Tests.Consensus;

/// <summary>Watches a whole group and knows what must never happen (Raft, figure 3).</summary>
internal sealed class RaftSafety(IReadOnlyCollection<RaftMember> members)
{
    private readonly Dictionary<Term, ReplicaId> _leaders = [];
    private readonly List<(Entry Entry, Term SeenIn)> _committed = [];
    private readonly Dictionary<ReplicaId, int> _checkedApplied = [];
    private readonly Dictionary<ReplicaId, ulong> _checkedCommit = [];

    public LogIndex HighestCommit => new((ulong)_committed.Count);

    /// <summary>After each event: leaders, commits and what has been applied.</summary>
    public void Check(RaftMember member)
    {
        if (!member.Up)
        {
            _checkedApplied[member.Id] = 0;
            _checkedCommit[member.Id] = 0;
            return;
        }

        CheckLeader(member);
        CheckCommits(member);
        CheckApplied(member);
    }

    /// <summary>Log matching: same index and term, same past.</summary>
    public void CheckLogs()
    {
        foreach (RaftMember a in members.Where(member => member.Up))
        {
            foreach (RaftMember b in members.Where(member => member.Up && member.Id.CompareTo(a.Id) > 0))
            {
                bool equalAbove = false;
                ulong low = Math.Max(a.Node.FirstIndex.Value, b.Node.FirstIndex.Value);
                for (ulong i = Math.Min(a.Node.LastIndex.Value, b.Node.LastIndex.Value); i >= low; i--)
                {
                    bool equal = a.Node.TermAt(new LogIndex(i)) == b.Node.TermAt(new LogIndex(i));
                    Invariant.Assert(equal || !equalAbove, $"log matching of {a} and {b} at {i}");
                    equalAbove |= equal;
                }
            }
        }
    }

    private void CheckLeader(RaftMember member)
    {
        if (member.Node.State != RaftRole.Leader)
        {
            return;
        }

        if (!_leaders.TryAdd(member.Node.Term, member.Id))
        {
            Invariant.Assert(_leaders[member.Node.Term] == member.Id, $"two leaders in {member.Node.Term}: {_leaders[member.Node.Term]} and {member.Id}");
            return;
        }

        foreach ((Entry entry, Term seenIn) in _committed)
        {
            TermLookup here = member.Node.TermAt(entry.Index);
            bool complete = here.Outcome == TermOutcome.Compacted || here.Is(entry.Term);
            Invariant.Assert(complete || seenIn > member.Node.Term, $"leader {member} lacks committed {entry.Index}");
        }
    }

    private void CheckCommits(RaftMember member)
    {
        ulong seen = _checkedCommit.GetValueOrDefault(member.Id);
        for (ulong i = Math.Max(member.Node.FirstIndex.Value, seen + 1); i <= member.Node.CommitIndex.Value; i++)
        {
            Entry entry = member.Node.EntriesAbove(new LogIndex(i - 1)).Span[0];
            if (i <= (ulong)_committed.Count)
            {
                Invariant.Assert(Same(_committed[(int)i - 1].Entry, entry), $"committed {entry.Index} changed at {member}");
                continue;
            }

            ReplicaId[] holders = [.. members.Where(other => other.HoldsDurably(entry)).Select(other => other.Id)];
            bool quorum = IsMajority(holders, member.Node.Members.Voters) && (!member.Node.Members.IsJoint || IsMajority(holders, member.Node.Members.OutgoingVoters));
            Invariant.Assert(quorum, $"{entry.Index} committed at {member} in {member.Node.Members} but durable on {string.Join(' ', holders)} only");
            _committed.Add((entry with { Payload = entry.Payload.ToArray() }, member.Node.Term));
        }

        _checkedCommit[member.Id] = member.Node.CommitIndex.Value;
    }

    private void CheckApplied(RaftMember member)
    {
        int from = _checkedApplied.GetValueOrDefault(member.Id);
        for (int i = Math.Min(from, member.Applied.Count); i < member.Applied.Count; i++)
        {
            Invariant.Assert(i < _committed.Count && Same(_committed[i].Entry, member.Applied[i]), $"{member} applied something else at {i + 1}");
        }

        _checkedApplied[member.Id] = member.Applied.Count;
    }

    private static bool IsMajority(IEnumerable<ReplicaId> some, IReadOnlyCollection<ReplicaId> voters) => some.Count(voters.Contains) > voters.Count / 2;

    private static bool Same(Entry a, Entry b) => a.Index == b.Index && a.Term == b.Term && a.Kind == b.Kind && a.Payload.Span.SequenceEqual(b.Payload.Span);
}

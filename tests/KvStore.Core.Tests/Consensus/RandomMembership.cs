using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Tests.Consensus;

/// <summary>Asks leaders for new members, fewer members, other parts for those that are there, at random. Who was removed lives on and doesn't know.</summary>
internal sealed class RandomMembership(Random random, IReadOnlyList<RaftMember> members, Action<ReplicaId> add)
{
    private const int MaxReplicas = 9;

    public void Act()
    {
        RaftMember[] leaders = [.. members.Where(member => member.Up && member.Node.State == RaftRole.Leader)];
        if (leaders.Length == 0)
        {
            return;
        }

        RaftNode leader = leaders[random.Next(leaders.Length)].Node;
        List<ReplicaId> voters = [.. leader.Members.Voters];
        List<ReplicaId> learners = [.. leader.Members.Learners];
        switch (random.Next(6))
        {
            case 0 or 1 when members.Count < MaxReplicas:
                ReplicaId fresh = new((ulong)members.Count + 1);
                add(fresh);
                learners.Add(fresh);
                break;
            case 2 or 3 when learners.Count > 0:
                Move(learners, voters);
                break;
            case 4 when voters.Count > 1:
                Move(voters, random.Next(2) == 0 ? learners : []);
                break;
            default:
                Shuffle(leader.Members, voters, learners);
                break;
        }

        if (voters.Count > 0)
        {
            leader.ProposeMembership(new MembershipConfig(voters, learners), new byte[random.Next(3)], out _, out _);
        }
    }

    private void Move(List<ReplicaId> from, List<ReplicaId> to)
    {
        int at = random.Next(from.Count);
        to.Add(from[at]);
        from.RemoveAt(at);
    }

    /// <summary>Everybody gets any part, or none: mostly a joint change.</summary>
    private void Shuffle(MembershipConfig now, List<ReplicaId> voters, List<ReplicaId> learners)
    {
        voters.Clear();
        learners.Clear();
        foreach (ReplicaId id in now.Members)
        {
            switch (random.Next(5))
            {
                case < 3:
                    voters.Add(id);
                    break;
                case 3:
                    learners.Add(id);
                    break;
                default:
                    break;
            }
        }
    }
}

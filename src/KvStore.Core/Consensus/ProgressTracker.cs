using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>The leader's table of members, in the order of their ids, and the quorum questions over it.</summary>
internal sealed class ProgressTracker(RaftOptions options)
{
    private Progress[] _members = [];

    public ReadOnlySpan<Progress> Members => _members;

    /// <summary>A configuration takes effect: members that stay keep what is known of them, new ones are probed behind <paramref name="last"/>.</summary>
    public void Adopt(MembershipConfig config, LogIndex last, ulong tick)
    {
        var members = new Progress[config.Members.Length];
        for (int i = 0; i < members.Length; i++)
        {
            ReplicaId id = config.Members[i];
            if (Find(id) is not { } member)
            {
                member = new Progress(id, options);
                member.Reset(LogIndex.Zero, last.Next);
                member.AppendWanted = true;
            }

            member.TakePart(config.Voters.Contains(id), config.OutgoingVoters.Contains(id), tick);
            members[i] = member;
        }

        _members = members;
    }

    public Progress? Find(ReplicaId id)
    {
        foreach (Progress member in _members)
        {
            if (member.Id == id)
            {
                return member;
            }
        }

        return null;
    }

    /// <summary>The highest index that a quorum holds durably.</summary>
    public LogIndex QuorumMatch()
    {
        Span<ulong> incoming = stackalloc ulong[MembershipConfig.MaxMembers];
        Span<ulong> outgoing = stackalloc ulong[MembershipConfig.MaxMembers];
        int incomingCount = 0;
        int outgoingCount = 0;
        foreach (Progress member in _members)
        {
            Collect(member, member.Repair == 0 ? member.Match.Value : 0, incoming, ref incomingCount, outgoing, ref outgoingCount);
        }

        return new LogIndex(Decide(incoming[..incomingCount], outgoing[..outgoingCount]));
    }

    /// <summary>The newest read round that a quorum has confirmed; <paramref name="self"/> confirms up to <paramref name="newest"/> by itself.</summary>
    public ulong QuorumRound(ReplicaId self, ulong newest)
    {
        Span<ulong> incoming = stackalloc ulong[MembershipConfig.MaxMembers];
        Span<ulong> outgoing = stackalloc ulong[MembershipConfig.MaxMembers];
        int incomingCount = 0;
        int outgoingCount = 0;
        foreach (Progress member in _members)
        {
            ulong round = member.Id == self ? newest : member.Repair == 0 ? member.ConfirmedRound : 0;
            Collect(member, round, incoming, ref incomingCount, outgoing, ref outgoingCount);
        }

        return Decide(incoming[..incomingCount], outgoing[..outgoingCount]);
    }

    /// <summary>Whether a quorum, <paramref name="self"/> included, was heard at <paramref name="sinceTick"/> or later.</summary>
    public bool QuorumHeardSince(ReplicaId self, ulong sinceTick) => QuorumHeard(self, sinceTick, member => member.Repair == 0 ? member.HeardAtTick : 0);

    /// <summary>As <see cref="QuorumHeardSince"/>, but a voter that is newer than that counts as heard, and so does one under repair: the leader must stay to repair it.</summary>
    public bool QuorumHeardOrNewSince(ReplicaId self, ulong sinceTick) => QuorumHeard(self, sinceTick, member => Math.Max(member.HeardAtTick, member.VoterSinceTick));

    public ImmutableArray<ProgressStatus> Describe(ulong activeSinceTick, ReplicaId self)
    {
        ImmutableArray<ProgressStatus>.Builder rows = ImmutableArray.CreateBuilder<ProgressStatus>(_members.Length);
        foreach (Progress member in _members)
        {
            bool active = member.Id == self || member.HeardAtTick >= Math.Max(1, activeSinceTick);
            rows.Add(new ProgressStatus(member.Id, member.Match, member.Next, member.State, active, member.IsVoter));
        }

        return rows.MoveToImmutable();
    }

    private bool QuorumHeard(ReplicaId self, ulong sinceTick, Func<Progress, ulong> heardAt)
    {
        Span<ulong> incoming = stackalloc ulong[MembershipConfig.MaxMembers];
        Span<ulong> outgoing = stackalloc ulong[MembershipConfig.MaxMembers];
        int incomingCount = 0;
        int outgoingCount = 0;
        foreach (Progress member in _members)
        {
            ulong heard = member.Id == self ? ulong.MaxValue : heardAt(member);
            Collect(member, heard, incoming, ref incomingCount, outgoing, ref outgoingCount);
        }

        // A member that was never heard stands at tick 0, which lies before every window.
        return Decide(incoming[..incomingCount], outgoing[..outgoingCount]) >= Math.Max(1, sinceTick);
    }

    private static void Collect(Progress member, ulong value, Span<ulong> incoming, ref int incomingCount, Span<ulong> outgoing, ref int outgoingCount)
    {
        if (member.IsIncomingVoter)
        {
            incoming[incomingCount++] = value;
        }

        if (member.IsOutgoingVoter)
        {
            outgoing[outgoingCount++] = value;
        }
    }

    private static ulong Decide(Span<ulong> incoming, Span<ulong> outgoing) =>
        Math.Min(JointQuorum.HighestOfMajority(incoming), JointQuorum.HighestOfMajority(outgoing));
}

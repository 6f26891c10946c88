using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>The leader's table of members, in the order of their ids, and the quorum questions over it.</summary>
internal sealed class ProgressTracker
{
    private readonly Progress[] _members;

    public ProgressTracker(MembershipConfig members, RaftOptions options)
    {
        _members = [.. members.Members.Select(id => new Progress(id, members.Voters.Contains(id), members.OutgoingVoters.Contains(id), options))];
    }

    public ReadOnlySpan<Progress> Members => _members;

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
            Collect(member, member.Match.Value, incoming, ref incomingCount, outgoing, ref outgoingCount);
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
            ulong round = member.Id == self ? newest : member.ConfirmedRound;
            Collect(member, round, incoming, ref incomingCount, outgoing, ref outgoingCount);
        }

        return Decide(incoming[..incomingCount], outgoing[..outgoingCount]);
    }

    /// <summary>Whether a quorum, <paramref name="self"/> included, was heard at <paramref name="sinceTick"/> or later.</summary>
    public bool QuorumHeardSince(ReplicaId self, ulong sinceTick)
    {
        Span<ulong> incoming = stackalloc ulong[MembershipConfig.MaxMembers];
        Span<ulong> outgoing = stackalloc ulong[MembershipConfig.MaxMembers];
        int incomingCount = 0;
        int outgoingCount = 0;
        foreach (Progress member in _members)
        {
            ulong heard = member.Id == self ? ulong.MaxValue : member.HeardAtTick;
            Collect(member, heard, incoming, ref incomingCount, outgoing, ref outgoingCount);
        }

        // A member that was never heard stands at tick 0, which lies before every window.
        return Decide(incoming[..incomingCount], outgoing[..outgoingCount]) >= Math.Max(1, sinceTick);
    }

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

using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// The members of a group. During a joint change <see cref="OutgoingVoters"/> is not empty, and every decision needs a majority of both sets (Raft thesis, section 4.3).
/// Invariants: 1. there is a voter; 2. a learner is no voter; 3. no set names a member twice; 4. at most <see cref="MaxMembers"/> members.
/// </summary>
public sealed class MembershipConfig
{
    /// <summary>Bounds the stack space of quorum arithmetic.</summary>
    public const int MaxMembers = 32;

    public MembershipConfig(IEnumerable<ReplicaId> voters, IEnumerable<ReplicaId>? learners = null, IEnumerable<ReplicaId>? outgoingVoters = null)
    {
        Voters = [.. voters.Order()];
        Learners = [.. (learners ?? []).Order()];
        OutgoingVoters = [.. (outgoingVoters ?? []).Order()];
        Members = [.. Voters.Union(OutgoingVoters).Union(Learners).Order()];
        Invariant.Assert(Voters.Length > 0);
        Invariant.Assert(Members.Length <= MaxMembers);
        Invariant.Assert(!Members[0].IsNone);
        Invariant.Assert(!Learners.Any(IsVoter));
        Invariant.Assert(Voters.Distinct().Count() == Voters.Length && OutgoingVoters.Distinct().Count() == OutgoingVoters.Length
            && Learners.Distinct().Count() == Learners.Length);
    }

    public ImmutableArray<ReplicaId> Voters { get; }

    public ImmutableArray<ReplicaId> Learners { get; }

    public ImmutableArray<ReplicaId> OutgoingVoters { get; }

    /// <summary>Everybody, in the order of their ids.</summary>
    public ImmutableArray<ReplicaId> Members { get; }

    public bool IsJoint => OutgoingVoters.Length > 0;

    public bool IsVoter(ReplicaId id) => Voters.Contains(id) || OutgoingVoters.Contains(id);

    public bool IsMember(ReplicaId id) => Members.BinarySearch(id) >= 0;
}

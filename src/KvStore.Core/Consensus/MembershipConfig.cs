using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// The members of a group. During a joint change <see cref="OutgoingVoters"/> is not empty, and every decision needs a majority of both sets (Raft thesis, section 4.3).
/// Invariants: 1. there is a voter; 2. a learner is no voter; 3. no set names a member twice; 4. at most <see cref="MaxMembers"/> members; 5. <see cref="NextLearners"/> are outgoing voters only.
/// </summary>
/// <remarks>Ids are never used twice: a replica that was removed, or that lost its log, comes back under a new id. The group can't check that; whoever mints ids does.</remarks>
public sealed class MembershipConfig : IEquatable<MembershipConfig>
{
    /// <summary>Bounds the stack space of quorum arithmetic.</summary>
    public const int MaxMembers = 32;

    public MembershipConfig(
        IEnumerable<ReplicaId> voters, IEnumerable<ReplicaId>? learners = null, IEnumerable<ReplicaId>? outgoingVoters = null, IEnumerable<ReplicaId>? nextLearners = null)
    {
        Voters = [.. voters.Order()];
        Learners = [.. (learners ?? []).Order()];
        OutgoingVoters = [.. (outgoingVoters ?? []).Order()];
        NextLearners = [.. (nextLearners ?? []).Order()];
        Members = [.. Voters.Union(OutgoingVoters).Union(Learners).Order()];
        Invariant.Assert(Voters.Length > 0);
        Invariant.Assert(Members.Length <= MaxMembers);
        Invariant.Assert(!Members[0].IsNone);
        Invariant.Assert(!Learners.Any(IsVoter));
        Invariant.Assert(NextLearners.All(id => OutgoingVoters.Contains(id) && !Voters.Contains(id)));
        Invariant.Assert(IsSet(Voters) && IsSet(Learners) && IsSet(OutgoingVoters) && IsSet(NextLearners));
    }

    /// <summary>In a joint configuration: the voters of the configuration to come.</summary>
    public ImmutableArray<ReplicaId> Voters { get; }

    public ImmutableArray<ReplicaId> Learners { get; }

    /// <summary>The voters of the configuration that is being left; empty unless joint.</summary>
    public ImmutableArray<ReplicaId> OutgoingVoters { get; }

    /// <summary>Outgoing voters that stay as learners when the joint configuration is left: nobody can be a voter and a learner at one time.</summary>
    public ImmutableArray<ReplicaId> NextLearners { get; }

    /// <summary>Everybody, in the order of their ids.</summary>
    public ImmutableArray<ReplicaId> Members { get; }

    public bool IsJoint => OutgoingVoters.Length > 0;

    public bool IsVoter(ReplicaId id) => Voters.Contains(id) || OutgoingVoters.Contains(id);

    public bool IsMember(ReplicaId id) => Members.BinarySearch(id) >= 0;

    /// <summary>
    /// The next step from this configuration to <paramref name="target"/>. Voter sets that differ in one id have overlapping majorities, so that the step is the target itself; others need a joint
    /// configuration between them.
    /// </summary>
    internal MembershipConfig StepTowards(MembershipConfig target)
    {
        Invariant.Assert(!IsJoint && !target.IsJoint);
        int differing = Voters.Except(target.Voters).Count() + target.Voters.Except(Voters).Count();
        return differing <= 1
            ? target
            : new MembershipConfig(target.Voters, target.Learners.Except(Voters), Voters, target.Learners.Intersect(Voters));
    }

    /// <summary>What remains when this joint configuration is left.</summary>
    internal MembershipConfig AfterLeaving()
    {
        Invariant.Assert(IsJoint);
        return new MembershipConfig(Voters, Learners.Union(NextLearners));
    }

    public bool Equals(MembershipConfig? other) =>
        other is not null
        && Voters.AsSpan().SequenceEqual(other.Voters.AsSpan())
        && Learners.AsSpan().SequenceEqual(other.Learners.AsSpan())
        && OutgoingVoters.AsSpan().SequenceEqual(other.OutgoingVoters.AsSpan())
        && NextLearners.AsSpan().SequenceEqual(other.NextLearners.AsSpan());

    public override bool Equals(object? obj) => Equals(obj as MembershipConfig);

    public override int GetHashCode() => Members.Aggregate(Members.Length, (hash, id) => (hash * 31) + id.Value.GetHashCode());

    /// <summary>As in the thesis: voters, then what is being left, then learners.</summary>
    public override string ToString() =>
        $"[{string.Join(' ', Voters)}]"
        + (IsJoint ? $" leaving [{string.Join(' ', OutgoingVoters)}]" : "")
        + (Learners.Length > 0 ? $" learners [{string.Join(' ', Learners)}]" : "")
        + (NextLearners.Length > 0 ? $" next learners [{string.Join(' ', NextLearners)}]" : "");

    private static bool IsSet(ImmutableArray<ReplicaId> ids) => ids.Distinct().Count() == ids.Length;
}

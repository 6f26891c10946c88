using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// The leader's rules for changing the group. A configuration takes effect when it is applied. At most one is in the log unapplied, so two that are in use at one time are neighbours, and
/// neighbours have overlapping majorities (Raft thesis, section 4.3; effective at apply: etcd/raft).
/// </summary>
internal sealed class MembershipChanges(RaftState state, ProgressTracker progress)
{
    private LogIndex _newest;

    /// <summary>A configuration entry is in the log and not applied yet, or the group is joint.</summary>
    public bool IsChanging => state.Members.IsJoint || _newest > state.Applied;

    /// <summary>Whether the group is joint and nobody has yet asked to leave that. True for one leader once: then its own entry is the newest.</summary>
    public bool MustLeave => state.Members.IsJoint && _newest <= state.MembersIndex;

    /// <summary>A leadership begins. What is in the log from earlier leaders may yet commit.</summary>
    public void Begin() => _newest = state.NewestUnappliedConfiguration();

    public void OnAppended(LogIndex index) => _newest = index;

    /// <summary>Whether the group could be asked to become <paramref name="target"/> now.</summary>
    public ProposeResult Check(MembershipConfig target)
    {
        if (IsChanging)
        {
            return ProposeResult.ChangePending;
        }

        if (target.IsJoint || target.Equals(state.Members))
        {
            return ProposeResult.InvalidTarget;
        }

        foreach (ReplicaId voter in target.Voters)
        {
            // A voter that has nothing yet would count for majorities and could not help to form one.
            if (progress.Find(voter) is not { } member)
            {
                return ProposeResult.InvalidTarget;
            }

            if (!member.IsVoter && !IsCaughtUp(member))
            {
                return ProposeResult.LearnerBehind;
            }
        }

        return ProposeResult.Accepted;
    }

    private bool IsCaughtUp(Progress member)
    {
        bool active = member.HeardAtTick != 0 && state.Now - member.HeardAtTick < (ulong)state.Options.ElectionTicksMax;
        return active && member.Repair == 0 && member.State == ProgressState.Replicate && member.Match + (ulong)state.Options.MaxPromotionLag >= state.Commit;
    }
}

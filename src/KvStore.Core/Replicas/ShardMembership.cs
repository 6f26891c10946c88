using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Changes of a shard's members, on both sides: the leader checks and proposes what an operator asks for and answers when it is applied; every replica applies the configuration entries and keeps
/// the result in its view, in the unit of the applied index.
/// </summary>
/// <remarks>
/// "Never a quorum of the amnesiac": a replica that was never a member enters as a learner; a learner votes only when its log has nearly caught up; and no change may leave a set of voters of which a majority
/// is not here or not caught up. A voter whose disk was lost comes back under a new id, by the same way.
/// </remarks>
internal sealed class ShardMembership(ReplicaOptions options, ReplicaClock clock, RaftNode raft, ReplicaPlaces places, IReplicaStorage storage, CompletionSink completions)
{
    private sealed record Pending(ulong Handle, MembershipConfig Target, LogIndex Index, long DeadlineMs);

    private Pending? _pending;

    /// <summary>The applied members have changed, from what they were.</summary>
    public Action<ShardMembers> Changed { get; set; } = _ => { };

    /// <summary>Whether a learner has what the log does not bring (open shards): asked before it may vote.</summary>
    public Func<NodeId, bool> HasCopiedData { get; set; } = _ => true;

    /// <summary>Whether all that this node is known to have written is here too (open shards): asked before it may go.</summary>
    public Func<NodeId, bool> HasHandedOver { get; set; } = _ => true;

    /// <summary>Whether the shard is on its way from ap to cp: who must hold its baseline stays the same meanwhile.</summary>
    public Func<bool> IsClosing { get; set; } = () => false;

    public int PendingCount => _pending is null ? 0 : 1;

    public void Begin(ulong handle, ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners, long deadlineMs)
    {
        var asked = new ClientOperation { Handle = handle };
        if (raft.State != RaftRole.Leader)
        {
            NodeId leader = raft.Leader.IsNone ? default : places.NodeOf(raft.Leader);
            completions.Refuse(
                asked,
                leader.IsNone ? RefusalCode.NoLeader : RefusalCode.NotLeader,
                leader.IsNone ? "The shard has no leader at the moment; try again in a moment." : "Another replica leads this shard.",
                leader);
            return;
        }

        if (_pending is not null || places.Members.Config.IsJoint)
        {
            completions.Refuse(asked, RefusalCode.ChangePending, "Another change of this shard's members is under way; try again when it is done.");
            return;
        }

        if (IsClosing())
        {
            completions.Refuse(asked, RefusalCode.ChangePending, "The shard is on its way from ap to cp; change its members when it is there.");
            return;
        }

        if (DescribeFlaw(voters, learners) is { } flaw)
        {
            completions.Refuse(asked, RefusalCode.InvalidArgument, flaw);
            return;
        }

        var target = new MembershipConfig(voters.Select(place => place.Replica), learners.Select(place => place.Replica));
        if (target.Equals(places.Members.Config))
        {
            completions.Add(new Completion { Handle = handle, Outcome = Outcome.Done });
            return;
        }

        if (DescribeDanger(target) is { } danger)
        {
            completions.Refuse(asked, RefusalCode.NotCaughtUp, danger);
            return;
        }

        Propose(asked, target, [.. voters, .. learners], deadlineMs);
    }

    /// <summary>A committed configuration entry takes effect here.</summary>
    public void Apply(in Entry entry)
    {
        (MembershipConfig config, ReadOnlyMemory<byte> context) = MembershipEntry.Decode(entry.Payload);
        ShardMembers earlier = places.Members;
        raft.ApplyMembership(entry);
        places.Set(places.Members.After(config, context.IsEmpty ? [] : MembersCodec.DecodePlaces(context)));
        storage.Put(RecordSpace.Meta, MembersCodec.Key, MembersCodec.EncodeMembers(places.Members));
        if (_pending is { } pending && entry.Index >= pending.Index && !config.IsJoint)
        {
            // Another configuration means that the proposed one was replaced; a leadership that ended on the way has answered it already.
            _pending = null;
            completions.Add(config.Equals(pending.Target)
                ? new Completion { Handle = pending.Handle, Outcome = Outcome.Done }
                : new Completion { Handle = pending.Handle, Outcome = Outcome.Unknown, Code = RefusalCode.LeadershipLost });
        }

        Changed(earlier);
    }

    /// <summary>The view has told who the members are: after a start or a snapshot.</summary>
    public void Restore(ShardMembers members)
    {
        ShardMembers earlier = places.Members;
        places.Set(members);
        Changed(earlier);
    }

    public void OnTick()
    {
        if (_pending is { } pending && pending.DeadlineMs <= clock.NowMs)
        {
            Fail(RefusalCode.DeadlineExceeded, "The deadline passed before the change was applied; it may still be. Look at the shard's members before asking again.");
        }
    }

    public void OnLeadershipEnded() => Fail(RefusalCode.LeadershipLost, "The leadership moved before the change was applied; it may still be. Look at the shard's members before asking again.");

    public void Fail(RefusalCode code, string reason)
    {
        if (_pending is { } pending)
        {
            _pending = null;
            completions.Unknown(pending.Handle, code, reason);
        }
    }

    private void Propose(in ClientOperation asked, MembershipConfig target, ImmutableArray<ReplicaPlace> named, long deadlineMs)
    {
        switch (raft.ProposeMembership(target, MembersCodec.EncodePlaces(named), out _, out LogIndex index))
        {
            case ProposeResult.Accepted:
                _pending = new Pending(asked.Handle, target, index, deadlineMs);
                break;
            case ProposeResult.NotLeader:
                completions.Refuse(asked, RefusalCode.NoLeader, "The shard is electing a leader; try again in a moment.");
                break;
            case ProposeResult.LearnerBehind:
                completions.Refuse(asked, RefusalCode.NotCaughtUp, "A learner that is to vote has not caught up yet; try again when it has.");
                break;
            case ProposeResult.InvalidTarget:
                completions.Refuse(asked, RefusalCode.InvalidArgument, "The shard can't become that from what it is now; look at its members and ask again.");
                break;
            case ProposeResult.ChangePending:
                completions.Refuse(asked, RefusalCode.ChangePending, "Another change of this shard's members may be under way; try again when it is done.");
                break;
            default:
                completions.Refuse(asked, RefusalCode.Overloaded, "The shard's log has too much that is not committed yet, or its leadership is being handed over; try again in a moment.");
                break;
        }
    }

    /// <summary>What is wrong with the wish itself, whatever the state of the replicas. Null: nothing.</summary>
    private string? DescribeFlaw(ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners)
    {
        if (voters.IsDefaultOrEmpty || learners.IsDefault)
        {
            return "A shard needs at least one voter.";
        }

        ImmutableArray<ReplicaPlace> all = [.. voters, .. learners];
        if (places.Members.Config.Members.Union(all.Select(place => place.Replica)).Count() > MembershipConfig.MaxMembers)
        {
            return $"A shard has at most {MembershipConfig.MaxMembers} replicas, those that leave included.";
        }

        if (all.Any(place => place.Replica.IsNone || place.Node.IsNone) || all.Select(place => place.Replica).Distinct().Count() != all.Length)
        {
            return "Each replica is named once, with its node.";
        }

        if (voters.Select(place => place.Node).Distinct().Count() != voters.Length || learners.Select(place => place.Node).Distinct().Count() != learners.Length)
        {
            return "Two replicas of one kind on one node would fall together.";
        }

        foreach (ReplicaPlace place in all)
        {
            NodeId known = places.Members.NodeOf(place.Replica);
            if (places.Members.Retired.Contains(place.Replica) || (!known.IsNone && known != place.Node))
            {
                return $"The id {place.Replica} was used before: a replica that left, or moved, comes back under a new one.";
            }
        }

        ReplicaPlace fresh = voters.FirstOrDefault(place => !places.Members.Config.IsMember(place.Replica));
        return fresh.Replica.IsNone ? null : $"{fresh} is new here: add it as a learner first, and let it vote when it has caught up.";
    }

    /// <summary>What would make the change unsafe, or stop the shard, as the replicas stand. Null: nothing.</summary>
    private string? DescribeDanger(MembershipConfig target)
    {
        MembershipConfig current = places.Members.Config;
        ImmutableArray<ProgressStatus> progress = raft.DescribeProgress();
        foreach (ReplicaId voter in target.Voters)
        {
            if (!current.IsVoter(voter) && !(IsCaughtUp(voter, progress) && HasCopiedData(places.NodeOf(voter))))
            {
                return $"The learner {voter} has not caught up yet: it may vote when it is less than {options.Raft.MaxPromotionLag} entries behind and answers.";
            }
        }

        int ready = target.Voters.Count(voter => IsCaughtUp(voter, progress));
        if (ready < Policy.PartitionPolicy.Majority(target.Voters.Length))
        {
            return $"Only {ready} of the {target.Voters.Length} voters would be here and caught up: the shard would stop, or hang on replicas that lack what was acknowledged.";
        }

        foreach (ReplicaId leaving in current.Members.Where(member => !target.IsMember(member)))
        {
            if (!HasHandedOver(places.NodeOf(leaving)))
            {
                return $"The replica {leaving} has writes that have not reached this one yet: let it hand them over first.";
            }
        }

        return null;
    }

    private bool IsCaughtUp(ReplicaId replica, ImmutableArray<ProgressStatus> progress)
    {
        if (replica == raft.Self)
        {
            return true;
        }

        ProgressStatus status = progress.FirstOrDefault(each => each.Id == replica);
        return status.RecentlyActive && status.Match.Value + (ulong)options.Raft.MaxPromotionLag >= raft.CommitIndex.Value;
    }
}

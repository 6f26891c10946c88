using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>What became of a shard whose majority an operator has given up.</summary>
/// <param name="Before">The members until then.</param>
/// <param name="IsForced">This replica goes on alone. False: it can't, because <paramref name="Others"/> are voters that nobody has given up.</param>
/// <param name="Others">Voters besides this replica that nobody has given up.</param>
/// <param name="Settled">Up to here was known to be committed.</param>
/// <param name="Last">Up to here is taken for committed now.</param>
public sealed record QuorumLoss(ShardMembers Before, bool IsForced, ImmutableArray<ReplicaPlace> Others, LogIndex Settled, LogIndex Last);

/// <summary>
/// The recovery of a shard whose majority is gone for good (scenario 40), as etcd's --force-new-cluster does it: behind the end of its own log the last replica writes a configuration that names itself alone, and takes all of
/// that for committed. From there on everything is the ordinary machinery: the entries are applied, the replica elects itself, and the operator adds others.
/// </summary>
/// <remarks>
/// This breaks what Raft promises, which is why only an operator may ask for it, by naming the nodes that are lost. What only they had is gone, acknowledged or not; what this replica had that was never committed is done now, and its
/// callers may have been told "unknown". Should the lost nodes come back with their data they could be a majority again by the old configuration: two histories. So they must never be started again but as successors
/// (kv cluster replace-node).
/// </remarks>
internal static class QuorumLossRecovery
{
    /// <summary>The recovered log goes on in a term that nobody who was given up can have reached, should one of them have led since.</summary>
    public const ulong TermLeap = 1_000_000;

    /// <summary>Appends what is needed, if the voters that are left are no majority and this replica is the only one of them.</summary>
    /// <param name="places">The members as the view knows them.</param>
    /// <param name="givenUp">Nodes that never come back; none: nothing is done.</param>
    /// <param name="storage">Where the log goes on.</param>
    /// <param name="recovered">What storage found; on return also what was appended.</param>
    /// <returns>Null: the shard has its majority, or this replica no vote.</returns>
    public static QuorumLoss? Recover(ReplicaPlaces places, ImmutableArray<NodeId> givenUp, IReplicaStorage storage, ref RecoveredReplica recovered)
    {
        if (givenUp.IsEmpty)
        {
            return null;
        }

        RaftRecoveredState state = RecoveredLog.Read(recovered);
        ShardMembers members = NewestMembers(places.Members, state);
        MembershipConfig config = members.Config;
        if (!config.IsVoter(places.Self.Replica) || (HasMajority(members, config.Voters, givenUp) && HasMajority(members, config.OutgoingVoters, givenUp)))
        {
            return null;
        }

        ReadOnlySpan<Entry> entries = state.Entries.Span;
        LogIndex last = entries.Length > 0 ? entries[^1].Index : state.BoundaryIndex;
        ImmutableArray<ReplicaPlace> others =
        [
            .. config.Voters.Union(config.OutgoingVoters).Where(voter => voter != places.Self.Replica && !givenUp.Contains(members.NodeOf(voter)))
                .Select(voter => new ReplicaPlace(members.NodeOf(voter), voter)),
        ];
        if (others.IsEmpty)
        {
            recovered = recovered with { Records = [.. recovered.Records, .. Append(places.Self, state.HardState.Term, last.Next, storage)] };
        }

        return new QuorumLoss(members, others.IsEmpty, others, state.HardState.Commit, last);
    }

    private static RecoveredRecord[] Append(ReplicaPlace self, Term term, LogIndex index, IReplicaStorage storage)
    {
        var leap = new Term(term.Value + TermLeap);
        byte[] alone = MembershipEntry.Encode(new MembershipConfig([self.Replica]), MembersCodec.EncodePlaces([self]));
        byte[] hardState = RecoveredLog.EncodeHardState(new HardState(leap, default, index));
        storage.Append(LogRecordKind.Entry, leap, index, alone, SyncUrgency.Now);
        storage.Append(LogRecordKind.HardState, leap, index, hardState, SyncUrgency.Now);
        return [new RecoveredRecord(LogRecordKind.Entry, leap, index, alone), new RecoveredRecord(LogRecordKind.HardState, leap, index, hardState)];
    }

    /// <summary>With the changes that lie in the log unapplied: whoever came in by them may vote already.</summary>
    private static ShardMembers NewestMembers(ShardMembers members, RaftRecoveredState state)
    {
        foreach (ref readonly Entry entry in state.Entries.Span)
        {
            if (entry.Kind == EntryKind.Configuration && entry.Index > state.Applied)
            {
                (MembershipConfig config, ReadOnlyMemory<byte> context) = MembershipEntry.Decode(entry.Payload);
                members = members.After(config, context.IsEmpty ? [] : MembersCodec.DecodePlaces(context));
            }
        }

        return members;
    }

    private static bool HasMajority(ShardMembers members, ImmutableArray<ReplicaId> voters, ImmutableArray<NodeId> givenUp) =>
        voters.IsEmpty || voters.Count(voter => !givenUp.Contains(members.NodeOf(voter))) >= Policy.PartitionPolicy.Majority(voters.Length);
}

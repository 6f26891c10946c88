using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

internal enum VoteTally : byte
{
    Pending = 0,
    Won = 1,
    Lost = 2,
}

/// <summary>
/// Majority arithmetic over one or two sets of voters. Everything a quorum decides (commit, read rounds, contact, elections) is decided here.
/// </summary>
internal static class JointQuorum
{
    /// <summary>The highest number that a majority has reached. Reorders <paramref name="reached"/>. An empty set is no constraint.</summary>
    public static ulong HighestOfMajority(Span<ulong> reached)
    {
        if (reached.Length == 0)
        {
            return ulong.MaxValue;
        }

        // Insertion sort: sets are tiny, and Span.Sort goes through a comparer.
        for (int i = 1; i < reached.Length; i++)
        {
            ulong value = reached[i];
            int j = i - 1;
            for (; j >= 0 && reached[j] > value; j--)
            {
                reached[j + 1] = reached[j];
            }

            reached[j + 1] = value;
        }

        return reached[(reached.Length - 1) / 2];
    }

    public static VoteTally Tally(MembershipConfig members, Func<ReplicaId, bool?> answerOf)
    {
        VoteTally incoming = TallyOne(members.Voters.AsSpan(), answerOf);
        if (!members.IsJoint)
        {
            return incoming;
        }

        VoteTally outgoing = TallyOne(members.OutgoingVoters.AsSpan(), answerOf);
        if (incoming == VoteTally.Lost || outgoing == VoteTally.Lost)
        {
            return VoteTally.Lost;
        }

        return incoming == VoteTally.Won && outgoing == VoteTally.Won ? VoteTally.Won : VoteTally.Pending;
    }

    private static VoteTally TallyOne(ReadOnlySpan<ReplicaId> voters, Func<ReplicaId, bool?> answerOf)
    {
        int granted = 0;
        int refused = 0;
        foreach (ReplicaId voter in voters)
        {
            switch (answerOf(voter))
            {
                case true:
                    granted++;
                    break;
                case false:
                    refused++;
                    break;
                default:
                    break;
            }
        }

        int majority = (voters.Length / 2) + 1;
        if (granted >= majority)
        {
            return VoteTally.Won;
        }

        return refused > voters.Length - majority ? VoteTally.Lost : VoteTally.Pending;
    }
}

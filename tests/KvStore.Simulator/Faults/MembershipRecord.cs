using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Faults;

/// <summary>
/// What is known of a shard's members from outside: the newest configuration that any replica has applied (an applied one is committed, so the one at the highest index counts), who ever was a
/// member, and what was asked and answered. Checks what no answer may contradict.
/// </summary>
internal sealed class MembershipRecord(SimulatedCluster cluster)
{
    private readonly HashSet<ReplicaId> _everMember = [.. cluster.Nodes.Select(node => node.ReplicaId).Where(id => !id.IsNone)];
    private readonly Dictionary<ReplicaId, int> _openAsks = [];
    private readonly Dictionary<LogIndex, string> _configurations = [];
    private LogIndex _applied;

    public ImmutableArray<ReplicaPlace> Members { get; private set; } = [];

    public ImmutableArray<ReplicaPlace> Voters { get; private set; } = [];

    public bool IsJoint { get; private set; }

    public bool WasMember(ReplicaId id) => _everMember.Contains(id);

    public bool WasRemoved(ReplicaId id) => !IsJoint && Members.Length > 0 && _everMember.Contains(id) && Members.All(place => place.Replica != id);

    /// <summary>
    /// Whether a removed replica may be destroyed: a majority of the voters has applied the configuration without it and would know it after a loss of power, too. As long as only the leader knows, the others
    /// count the removed one for their elections; if it and the leader's disk were lost, nobody could ever be elected.
    /// </summary>
    public bool CanDoWithout(ReplicaId id) => WasRemoved(id) && Voters.Count(voter => KnowsMembers(voter)) > Voters.Length / 2;

    /// <summary>
    /// Whether the others can elect somebody if this member is gone for good from now on: a majority of the voters, without it, has applied the newest configuration and would know it after a loss of power, too.
    /// A change counts as done when its leader has applied it. If the others have not, they still go by the configuration before; and of two voters that have become three, the one that is left needs the lost one's vote.
    /// </summary>
    public bool CanLose(ReplicaPlace victim) => !IsJoint && Voters.Count(voter => voter != victim && KnowsMembers(voter)) > Voters.Length / 2;

    private bool KnowsMembers(ReplicaPlace voter) =>
        cluster.Nodes[(int)voter.Node.Value - 1] is { Replica: { IsActive: true, WaitsForDurable: false } replica } node
        && node.Place == voter
        && replica.Describe() is { IsJoint: false } status
        && status.Members.Select(member => member.Place).SequenceEqual(Members)
        && status.Members.Where(member => member.IsVoter).Select(member => member.Place).SequenceEqual(Voters);

    /// <summary>Asks every replica that has the shard's data.</summary>
    public void Look()
    {
        foreach (SimulatedNode node in cluster.Nodes)
        {
            if (node.Replica is { IsActive: true, IsRemoved: false } replica && replica.Position.Applied > LogIndex.Zero)
            {
                Look(node, replica.Describe());
            }
        }
    }

    public void Asked(ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners)
    {
        foreach (ReplicaPlace place in voters.Concat(learners).Where(place => !_everMember.Contains(place.Replica)))
        {
            _openAsks[place.Replica] = _openAsks.GetValueOrDefault(place.Replica) + 1;
        }
    }

    public void Answered(SimulatedNode node, in Completion answer, ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners)
    {
        if (answer.Outcome == Outcome.NotDone)
        {
            foreach (ReplicaPlace place in voters.Concat(learners))
            {
                if (_openAsks.TryGetValue(place.Replica, out int asks))
                {
                    _openAsks[place.Replica] = asks - 1;
                }
            }
        }

        if (answer.Outcome != Outcome.Done)
        {
            return;
        }

        // The answer was given in a step of this node; later steps may have applied more.
        ImmutableArray<MemberStatus> now = node.Replica!.Describe().Members;
        if (voters.Any(place => !_everMember.Contains(place.Replica) && now.All(member => member.Place.Replica != place.Replica)))
        {
            throw new SimulationFailedException("Members", $"{node.Id} said that the members are changed, and does not know all of [{string.Join(' ', voters)}] [{string.Join(' ', learners)}].");
        }
    }

    private void Look(SimulatedNode node, ReplicaStatus status)
    {
        if (status.Commit < status.Applied || status.Switch is { IsLate: true })
        {
            // A snapshot is being switched in, and its members are not in force yet. A late replica keeps its log, so its commit does not tell: it skips, or installs, while it is late.
            return;
        }

        string text = string.Join(' ', status.Members.Select(member => $"{member.Place}{(member.IsVoter ? "v" : "")}{(member.IsOutgoingVoter ? "o" : "")}{(member.IsLearner ? "l" : "")}"));
        if (!_configurations.TryAdd(status.Applied, text) && _configurations[status.Applied] != text)
        {
            throw new SimulationFailedException("Members", $"At applied index {status.Applied.Value} one replica knows the members as [{_configurations[status.Applied]}], {node.Id} as [{text}].");
        }

        if (status.Applied < _applied)
        {
            return;
        }

        _applied = status.Applied;
        Members = [.. status.Members.Select(member => member.Place)];
        Voters = [.. status.Members.Where(member => member.IsVoter).Select(member => member.Place)];
        IsJoint = status.IsJoint;
        foreach (ReplicaPlace place in Members)
        {
            bool refused = _openAsks.TryGetValue(place.Replica, out int open) && open == 0;
            if (_everMember.Add(place.Replica) && refused)
            {
                throw new SimulationFailedException("Members", $"{place} became a member although every request for it was answered as not done.");
            }
        }
    }
}

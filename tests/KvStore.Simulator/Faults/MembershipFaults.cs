using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Faults;

/// <summary>
/// The operator of a shard whose members change while it serves: adds spare nodes as learners, lets learners vote, demotes, removes (the leader too), hands leadership over, and replaces a replica whose
/// disk was lost by a new one under a new id. It goes by what replicas tell of themselves, repeats what was refused, and never loses a second disk before the first is replaced.
/// </summary>
internal sealed class MembershipFaults
{
    private const int MaxVoters = 5;
    private const int AnswerMs = 3_000;

    /// <summary>Where the members change for the sake of a lost disk only: one look in so many.</summary>
    private const int LossRarity = 20;

    private readonly SimulatedCluster _cluster;
    private readonly Random _random;
    private readonly MembershipRecord _record;
    private ulong _lastId = 100;
    private long _busyUntilUs;
    private int _asks;
    private bool _mayBeInLog;
    private bool _settling;

    public MembershipFaults(SimulatedCluster cluster, Random random)
    {
        _cluster = cluster;
        _random = random;
        _record = new MembershipRecord(cluster);
    }

    /// <summary>The voter or learner whose disk is gone and that is still a member; none if there is no such.</summary>
    public ReplicaPlace Lost { get; private set; }

    /// <summary>Whether a disk was lost.</summary>
    public bool HasLostDisk { get; private set; }

    /// <summary>Nothing is half done: no change is asked for, no lost replica is a member, and every member's node is up.</summary>
    public bool IsSettled =>
        Lost.Replica.IsNone && _busyUntilUs <= _cluster.Timeline.NowUs && !_record.IsJoint
        && _record.Members.Length > 0 && _record.Members.All(place => NodeOf(place).Place == place && NodeOf(place).Replica is { } replica && AgreesWithRecord(replica));

    /// <summary>Whether the node has a member, as of the newest configuration that any replica has applied.</summary>
    public bool IsMember(SimulatedNode node) => _record.Members.Contains(node.Place);

    private Timeline Timeline => _cluster.Timeline;

    private EventTrace Trace => _cluster.Trace;

    public void Begin() => Plan();

    /// <summary>From now on only what is half done is finished.</summary>
    public void Settle() => _settling = true;

    private SimulatedNode NodeOf(ReplicaPlace place) => _cluster.Nodes[(int)place.Node.Value - 1];

    private bool AgreesWithRecord(ShardReplica replica) => replica.Describe().Members.Select(member => member.Place).SequenceEqual(_record.Members);

    private void Plan() => Timeline.After(_random.Next(20_000, 900_000), () =>
    {
        _record.Look();
        Act();
        Plan();
    });

    private void Act()
    {
        DropRemoved();
        if (_cluster.Leader is not { } leader)
        {
            return;
        }

        var shard = new Membership(leader.Replica!.Describe().Members);
        if (!Lost.Replica.IsNone)
        {
            Replace(leader, shard);
            return;
        }

        bool busy = _busyUntilUs > Timeline.NowUs;
        if (_settling || (busy && _random.Next(4) != 0))
        {
            return;
        }

        if (_cluster.Settings.ReplacesDisk)
        {
            if (!HasLostDisk && _random.Next(LossRarity) == 0)
            {
                LoseDisk();
            }

            return;
        }

        if (_cluster.Settings.IsOpen && !IsCalm())
        {
            return;
        }

        // Now and then a second change is asked for before the first is done: it must be refused.
        Choose(leader, shard, mayLoseDisk: !_mayBeInLog && !(_cluster.Settings.IsOpen && HasLostDisk));
    }

    /// <summary>
    /// The operator of an open shard changes one thing after the other, and takes nobody away who may have writes that the others lack: every member is there, knows the members, is whole, and all clocks are equal.
    /// </summary>
    private bool IsCalm()
    {
        List<ReplicaStatus> all = [];
        foreach (ReplicaPlace place in _record.Members)
        {
            SimulatedNode node = NodeOf(place);
            if (node.Place != place || node.Replica is not { IsActive: true } replica || !AgreesWithRecord(replica))
            {
                return false;
            }

            all.Add(replica.Describe());
        }

        return _busyUntilUs <= Timeline.NowUs && !_record.IsJoint && all.TrueForAll(status => status.Open is { IsRecovering: false } && status.Clock == all[0].Clock);
    }

    private void Choose(SimulatedNode leader, Membership shard, bool mayLoseDisk)
    {
        switch (_random.Next(100))
        {
            case < 30:
                AddLearner(leader, shard);
                break;
            case < 50:
                Promote(leader, shard);
                break;
            case < 60:
                Swap(leader, shard);
                break;
            case < 68:
                Demote(leader, shard, PickVoter(shard));
                break;
            case < 80:
                Remove(leader, shard, PickVoter(shard));
                break;
            case < 84 when shard.Learners.Length > 0:
                Remove(leader, shard, shard.Learners[_random.Next(shard.Learners.Length)]);
                break;
            case < 88:
                Remove(leader, shard, leader.Place);
                break;
            case < 94 when mayLoseDisk:
                LoseDisk();
                break;
            default:
                Transfer(leader, shard);
                break;
        }
    }

    private ReplicaPlace PickVoter(Membership shard) => shard.Voters[_random.Next(shard.Voters.Length)];

    private void AddLearner(SimulatedNode leader, Membership shard)
    {
        SimulatedNode? spare = _cluster.Nodes.FirstOrDefault(node => node.ReplicaId.IsNone)
            ?? _cluster.Nodes.FirstOrDefault(node => node.IsUp && !_record.WasMember(node.ReplicaId) && !shard.Has(node.ReplicaId));
        if (spare is null)
        {
            return;
        }

        if (spare.ReplicaId.IsNone)
        {
            spare.ReplicaId = new ReplicaId(++_lastId);
            spare.Start();
        }

        Ask("add learner", leader, shard.Voters, shard.Learners.Add(spare.Place));
    }

    private void Promote(SimulatedNode leader, Membership shard)
    {
        if (shard.Learners.Length > 0 && shard.Voters.Length < MaxVoters)
        {
            ReplicaPlace learner = shard.Learners[_random.Next(shard.Learners.Length)];
            Ask("promote", leader, shard.Voters.Add(learner), shard.Learners.Remove(learner));
        }
    }

    /// <summary>Two voters change at one time: goes through a joint configuration.</summary>
    private void Swap(SimulatedNode leader, Membership shard)
    {
        if (shard.Learners.Length > 0)
        {
            ReplicaPlace leaving = PickVoter(shard);
            ReplicaPlace learner = shard.Learners[_random.Next(shard.Learners.Length)];
            ImmutableArray<ReplicaPlace> learners = shard.Learners.Remove(learner);
            Ask("swap", leader, shard.Voters.Remove(leaving).Add(learner), _random.Next(2) == 0 ? learners : learners.Add(leaving));
        }
    }

    private void Demote(SimulatedNode leader, Membership shard, ReplicaPlace voter)
    {
        if (shard.Voters.Length > 2)
        {
            Ask("demote", leader, shard.Voters.Remove(voter), shard.Learners.Add(voter));
        }
    }

    private void Remove(SimulatedNode leader, Membership shard, ReplicaPlace leaving)
    {
        if (shard.Learners.Contains(leaving) || shard.Voters.Length > 2)
        {
            Ask(leaving == leader.Place ? "remove leader" : "remove", leader, shard.Voters.Remove(leaving), shard.Learners.Remove(leaving));
        }
    }

    private void Transfer(SimulatedNode leader, Membership shard)
    {
        Trace.Fault("transfer", leader.Index);
        NodeId to = PickVoter(shard).Node;
        leader.Post("transfer", replica => replica.TransferLeadership(to));
    }

    private void LoseDisk()
    {
        ImmutableArray<ReplicaPlace> voters = _record.Voters;
        if (_record.IsJoint || voters.Length < 3)
        {
            return;
        }

        ReplicaPlace victim = _record.Members[_random.Next(_record.Members.Length)];
        SimulatedNode node = NodeOf(victim);
        if (!node.IsUp || node.Place != victim || !_record.CanLose(victim))
        {
            return;
        }

        Trace.Fault("lost disk", node.Index);
        Lost = victim;
        HasLostDisk = true;
        node.Crash(power: true);
        node.Disk.Wipe();
        node.ReplicaId = new ReplicaId(++_lastId);
        Timeline.After(_random.Next(1_000, 2_000_000), () =>
        {
            if (!node.IsUp)
            {
                node.Start();
            }
        });
    }

    /// <summary>The way back of a replica that lost its disk: a new id on the same node enters as a learner, then takes the old one's place.</summary>
    private void Replace(SimulatedNode leader, Membership shard)
    {
        SimulatedNode node = NodeOf(Lost);
        if (_record.CanDoWithout(Lost.Replica))
        {
            Lost = default;
        }
        else if (_busyUntilUs > Timeline.NowUs || !node.IsUp || _record.WasRemoved(Lost.Replica))
        {
            return;
        }
        else if (!shard.Has(node.ReplicaId))
        {
            Ask("replace: add learner", leader, shard.Voters, shard.Learners.Remove(Lost).Add(node.Place));
        }
        else if (shard.Voters.Contains(Lost))
        {
            Ask("replace: promote", leader, shard.Voters.Remove(Lost).Add(node.Place), shard.Learners.Remove(node.Place));
        }
        else
        {
            Ask("replace: remove", leader, shard.Voters, shard.Learners.Remove(Lost));
        }
    }

    private void Ask(string what, SimulatedNode leader, ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners)
    {
        Trace.Fault("members: " + what, leader.Index);
        _busyUntilUs = Timeline.NowUs + (AnswerMs * 1_000L);
        int ask = ++_asks;
        bool mayBeInLog = _mayBeInLog;
        _mayBeInLog = true;
        _record.Asked(voters, learners);
        _cluster.Ask(
            leader,
            "change members",
            (replica, handle, nowMs) => replica.ChangeMembers(handle, voters, learners, nowMs + AnswerMs - 500),
            (node, answer) =>
            {
                if (ask == _asks)
                {
                    // One that ended as unknown may yet commit, until a later one is done.
                    _busyUntilUs = Timeline.NowUs;
                    _mayBeInLog = answer.Outcome != Outcome.Done && (answer.Outcome != Outcome.NotDone || mayBeInLog);
                }

                Trace.Count($"members: {answer.Outcome} {answer.Code}");
                _record.Answered(node, answer, voters, learners);
            });
    }

    /// <summary>What was removed stays up for a while, to see whether it can do harm, then gives its place and its disk to a spare.</summary>
    private void DropRemoved()
    {
        foreach (SimulatedNode node in _cluster.Nodes)
        {
            if (node.IsUp && _record.CanDoWithout(node.ReplicaId) && (_settling || _random.Next(4) == 0))
            {
                Trace.Add("drop removed replica", node.Index, node.ReplicaId.Value);
                Trace.Count(node.Replica!.IsRemoved ? "removed replica knew it" : "removed replica did not know it");
                node.Crash(power: false);
                node.Disk.Wipe();
                node.ReplicaId = default;
            }
        }
    }

    /// <summary>The members as a leader tells them.</summary>
    private sealed class Membership(ImmutableArray<MemberStatus> members)
    {
        public ImmutableArray<ReplicaPlace> Voters { get; } = [.. members.Where(member => member.IsVoter).Select(member => member.Place)];

        public ImmutableArray<ReplicaPlace> Learners { get; } = [.. members.Where(member => member.IsLearner).Select(member => member.Place)];

        public bool Has(ReplicaId id) => members.Any(member => member.Place.Replica == id);
    }
}

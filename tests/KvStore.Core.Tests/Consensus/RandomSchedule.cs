using System.Text;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Tests.Consensus;

/// <summary>One group under one random schedule, and then on its way back to work.</summary>
internal sealed class RandomSchedule
{
    private readonly Random _random;
    private readonly List<RaftMember> _members = [];
    private readonly List<Envelope> _network = [];
    private readonly HashSet<(ReplicaId From, ReplicaId To)> _cut = [];
    private readonly RaftSafety _safety;
    private readonly Dictionary<ulong, (ReplicaId Asked, LogIndex AtLeast)> _openReads = [];
    private readonly RandomMembership _membership;
    private readonly RaftOptions _options;
    private readonly MembershipConfig _first;
    private readonly int _lossPercent;
    private readonly int _crashWeight;
    private readonly bool _turbulent;
    private readonly bool _changesMembers;
    private readonly bool _damagesDisks;
    private ulong _nextRead;
    private int _nextProposal;

    public RandomSchedule(int voters, int seed)
    {
        _random = new Random(seed);
        _lossPercent = _random.Next(3) * 8;
        _crashWeight = _random.Next(3);
        _turbulent = seed % 3 == 0;

        // Most groups change. In some, disks lose what was durable; in few both happens, and then the group may have lost its majority.
        _damagesDisks = voters > 2 && seed % 4 == 1;
        _changesMembers = !_damagesDisks || seed % 8 == 1;
        var config = new MembershipConfig(Enumerable.Range(1, voters).Select(i => new ReplicaId((ulong)i)));
        _first = config;
        _options = new RaftOptions
        {
            ElectionTicksMin = 4,
            ElectionTicksMax = 8,
            MaxAppendBytes = 120,
            MaxInflightMessages = 3,
            MaxUncommittedBytes = 600,
            MaxCommittedBytesPerReady = 100,
            SnapshotAnswerTicks = 20,
            MaxPromotionLag = 5,
            QuiesceAfterTicks = seed % 2 == 0 ? 2 : 0,
            QuietRenewTicks = 6,
            QuietLimitTicks = 16,
        };
        _safety = new RaftSafety(_members);
        foreach (ReplicaId id in config.Voters)
        {
            Add(id);
        }

        _membership = new RandomMembership(_random, _members, Add);
    }

    public int StepNumber { get; private set; }

    public LogIndex Commits => _safety.HighestCommit;

    public int Configurations => _safety.CommittedConfigurations;

    public int ForwardedReadsAnswered { get; private set; }

    public int Damages { get; private set; }

    public void Run(int steps)
    {
        for (StepNumber = 0; StepNumber < steps; StepNumber++)
        {
            RaftMember member = _members[_random.Next(_members.Count)];
            Act(member);
            CheckReads(member);
            foreach (RaftMember each in _members)
            {
                _safety.Check(each);
            }

            if (StepNumber % 50 == 0)
            {
                _safety.CheckLogs();
            }
        }
    }

    /// <summary>Everything works again: a leader must emerge, a new proposal must reach all, and no read may stay unanswered.</summary>
    public void HealAndCheckProgress()
    {
        _cut.Clear();
        foreach (RaftMember member in _members.Where(member => !member.Up))
        {
            member.Restart(new Random(_random.Next()));
        }

        for (int round = 0; round < 80; round++)
        {
            foreach (RaftMember member in _members)
            {
                member.Node.Tick();
            }

            Settle();
        }

        _safety.CheckLogs();
        if (_damagesDisks && _changesMembers && _members.Any(member => member.Node.IsQuarantined))
        {
            return;
        }

        Invariant.Assert(!_members.Any(member => member.Node.IsQuarantined), "every damaged replica is repaired");
        RaftMember leader = _members.Where(member => member.Node.State == RaftRole.Leader).MaxBy(member => member.Node.Term)!;
        MembershipConfig config = leader.Node.Members;
        RaftMember[] group = [.. _members.Where(member => config.IsMember(member.Id))];
        Invariant.Assert(group.All(member => member.Node.Leader == leader.Id), "the group has one leader");
        Invariant.Assert(!config.IsJoint, "a joint group is left");
        ProposeResult result = leader.Node.Propose("last"u8.ToArray(), out _, out LogIndex index);
        Invariant.Assert(result == ProposeResult.Accepted);
        _openReads[++_nextRead] = (leader.Id, _safety.HighestCommit);
        Invariant.Assert(leader.Node.ReadIndex(_nextRead) == ReadResult.Accepted);
        int asked = 0;
        foreach (RaftMember member in group.Where(member => member != leader))
        {
            _openReads[++_nextRead] = (member.Id, _safety.HighestCommit);
            Invariant.Assert(member.Node.ReadIndex(_nextRead) == ReadResult.Accepted);
            asked++;
        }

        int before = ForwardedReadsAnswered;
        Settle();
        leader.Node.Tick();
        Settle();
        Invariant.Assert(ForwardedReadsAnswered - before == asked, "reads through followers and learners are answered");
        Invariant.Assert(group.All(member => member.Node.AppliedIndex == index), "everybody has applied the last proposal");
        Invariant.Assert(_openReads.Count == 0, "no read stays unanswered");
        _safety.CheckLogs();
    }

    private void Add(ReplicaId id) => _members.Add(new RaftMember(id, _options, _first, new Random(_random.Next()), _network.Add) { Observe = _safety.Check });

    public override string ToString() => string.Join('\n', _members.Select(member => $"{member} {string.Join(' ', member.Up ? member.Node.DescribeProgress() : [])}"));

    private void Settle()
    {
        for (bool busy = true; busy;)
        {
            busy = false;
            foreach (RaftMember member in _members)
            {
                busy |= member.Process() | member.PersistOne() | member.ApplyOne();
                CheckReads(member);
                _safety.Check(member);
            }

            busy |= _network.Count > 0;
            Envelope[] all = [.. _network];
            _network.Clear();
            foreach (Envelope envelope in all)
            {
                Deliver(envelope);
            }
        }
    }

    private void Act(RaftMember member)
    {
        // Some groups hardly come to work for elections and crashes: that is where votes are lost and terms race.
        if (_turbulent && _random.Next(10) == 0)
        {
            if (_random.Next(2) == 0)
            {
                TickSome(member);
            }
            else
            {
                CrashOrRestart(member);
            }

            return;
        }

        switch (_random.Next(100))
        {
            case < 4:
                TickSome(member);
                break;
            case < 26:
                member.Process();
                break;
            case < 46:
                member.PersistOne();
                break;
            case < 56:
                member.ApplyOne();
                break;
            case < 86:
                NetworkEvent();
                break;
            case < 91:
                Propose(member);
                break;
            case < 94:
                Read(member);
                break;
            case < 95:
                Cut(member);
                break;
            case < 97:
                Housekeeping(member);
                break;
            case < 99:
                ChangeOrDamage(member);
                break;
            default:
                CrashOrRestart(member);
                break;
        }
    }

    private void TickSome(RaftMember member)
    {
        for (int i = _random.Next(1, 4); i > 0 && member.Up; i--)
        {
            member.Node.Tick();
        }
    }

    private void NetworkEvent()
    {
        for (int i = _random.Next(1, 6); i > 0 && _network.Count > 0; i--)
        {
            int at = _random.Next(2) == 0 ? 0 : _random.Next(_network.Count);
            Envelope envelope = _network[at];
            bool duplicate = _random.Next(20) == 0;
            if (!duplicate)
            {
                _network.RemoveAt(at);
            }

            if (_random.Next(100) >= _lossPercent && !_cut.Contains((envelope.Message.From, envelope.Message.To)))
            {
                Deliver(envelope);
            }
        }
    }

    private void Deliver(Envelope envelope) => _members[(int)envelope.Message.To.Value - 1].Receive(envelope);

    private void Propose(RaftMember member)
    {
        for (int i = _random.Next(1, 5); i > 0 && member.Up; i--)
        {
            member.Node.Propose(Encoding.UTF8.GetBytes($"p{_nextProposal++}"), out _, out _);
        }
    }

    private void Read(RaftMember member)
    {
        if (member.Up && member.Node.ReadIndex(_nextRead + 1) == ReadResult.Accepted)
        {
            _openReads[++_nextRead] = (member.Id, _safety.HighestCommit);
        }
    }

    /// <summary>A read may not be answered older than what was committed, anywhere, when it was asked.</summary>
    private void CheckReads(RaftMember member)
    {
        foreach (ReadState read in member.Reads)
        {
            Invariant.Assert(_openReads.Remove(read.Context, out (ReplicaId Asked, LogIndex AtLeast) open), $"read {read.Context} was answered twice");
            ForwardedReadsAnswered += !read.Aborted && member.Node.State != RaftRole.Leader ? 1 : 0;
            Invariant.Assert(read.Aborted || read.Index >= open.AtLeast, $"read at {read.Index} although {open.AtLeast} was committed before it was asked");
        }

        member.Reads.Clear();
    }

    private void Cut(RaftMember member)
    {
        if (_random.Next(4) != 0)
        {
            _cut.Clear();
            return;
        }

        foreach (RaftMember other in _members)
        {
            if (_random.Next(2) == 0)
            {
                _cut.Add((member.Id, other.Id));
            }

            if (_random.Next(2) == 0)
            {
                _cut.Add((other.Id, member.Id));
            }
        }
    }

    private void Housekeeping(RaftMember member)
    {
        if (!member.Up)
        {
            return;
        }

        switch (_random.Next(4))
        {
            case 0:
                member.Compact(new LogIndex(member.Node.AppliedIndex.Value - Math.Min(member.Node.AppliedIndex.Value, (ulong)_random.Next(4))));
                break;
            case 1:
                member.Node.TransferLeadership(_members[_random.Next(_members.Count)].Id);
                break;
            default:
                member.Seal();
                break;
        }
    }

    private void ChangeOrDamage(RaftMember member)
    {
        if (_changesMembers && (!_damagesDisks || _random.Next(2) == 0))
        {
            _membership.Act();
        }
        else if (_damagesDisks && !_members.Any(other => other.IsMarkedDamaged))
        {
            ForgetReadsOf(member);
            member.DamageAndRestart(_random.Next(member.Applied.Count + 1), new Random(_random.Next()));
            Damages++;
        }
    }

    private void ForgetReadsOf(RaftMember member)
    {
        // Reads that were asked of a process that dies are never answered.
        foreach (ulong context in _openReads.Where(read => read.Value.Asked == member.Id).Select(read => read.Key).ToArray())
        {
            _openReads.Remove(context);
        }

        member.Reads.Clear();
    }

    private void CrashOrRestart(RaftMember member)
    {
        if (!member.Up)
        {
            if (_random.Next(2) == 0)
            {
                member.ForgetCommit();
            }

            member.Restart(new Random(_random.Next()));
        }
        else if (_random.Next(4) < (_turbulent ? 3 : _crashWeight))
        {
            ForgetReadsOf(member);
            member.Crash();
        }
    }
}

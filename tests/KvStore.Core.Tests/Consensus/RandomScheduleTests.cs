using System.Text;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>Whole groups under random schedules: everything that a network, a disk and a process may do, in any order. A failing seed is named and replays exactly.</summary>
public sealed class RandomScheduleTests(ITestOutputHelper output)
{
    private const int StepsPerSeed = 1_500;

    [Theory]
    [InlineData(1, 20)]
    [InlineData(2, 40)]
    [InlineData(3, 150)]
    [InlineData(5, 60)]
    public void Safety_holds_under_any_schedule_and_progress_returns_after_it(int voters, int seeds)
    {
        int first = int.TryParse(Environment.GetEnvironmentVariable("KV_SEED"), out int given) ? given : 1;
        int factor = int.TryParse(Environment.GetEnvironmentVariable("KV_SEED_FACTOR"), out int more) ? more : 1;
        seeds = int.TryParse(Environment.GetEnvironmentVariable("KV_SEEDS"), out int fewer) ? fewer : seeds;
        output.WriteLine($"{voters} voters, seeds {first} to {first + (seeds * factor) - 1}");
        long commits = 0;
        for (int seed = first; seed < first + (seeds * factor); seed++)
        {
            var schedule = new RandomSchedule(voters, seed);
            try
            {
                schedule.Run(StepsPerSeed);
                schedule.HealAndCheckProgress();
                commits += (long)schedule.Commits.Value;
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"{voters} voters, seed {seed}, step {schedule.StepNumber}: {failure.Message}\n{schedule}", failure);
            }
        }

        output.WriteLine($"{commits} commits");
        Assert.True(commits > seeds, "the schedules committed next to nothing: they test nothing");
    }
}

internal sealed class RandomSchedule
{
    private readonly Random _random;
    private readonly List<RaftMember> _members = [];
    private readonly List<Envelope> _network = [];
    private readonly HashSet<(ReplicaId From, ReplicaId To)> _cut = [];
    private readonly RaftSafety _safety;
    private readonly Dictionary<ulong, (ReplicaId Asked, LogIndex AtLeast)> _openReads = [];
    private readonly int _lossPercent;
    private readonly int _crashWeight;
    private readonly bool _turbulent;
    private ulong _nextRead;
    private int _nextProposal;

    public RandomSchedule(int voters, int seed)
    {
        _random = new Random(seed);
        _lossPercent = _random.Next(3) * 8;
        _crashWeight = _random.Next(3);
        _turbulent = seed % 3 == 0;
        var config = new MembershipConfig(Enumerable.Range(1, voters).Select(i => new ReplicaId((ulong)i)));
        var options = new RaftOptions
        {
            ElectionTicksMin = 4,
            ElectionTicksMax = 8,
            MaxAppendBytes = 120,
            MaxInflightMessages = 3,
            MaxUncommittedBytes = 600,
            MaxCommittedBytesPerReady = 100,
            SnapshotAnswerTicks = 20,
            QuiesceAfterTicks = seed % 2 == 0 ? 2 : 0,
            QuietRenewTicks = 6,
            QuietLimitTicks = 16,
        };
        foreach (ReplicaId id in config.Voters)
        {
            _members.Add(new RaftMember(id, options, config, new Random(_random.Next()), _network.Add));
        }

        _safety = new RaftSafety(_members);
    }

    public int StepNumber { get; private set; }

    public LogIndex Commits => _safety.HighestCommit;

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

        RaftMember leader = _members.Single(member => member.Node.State == RaftRole.Leader && _members.All(other => other.Node.Leader == member.Id));
        ProposeResult result = leader.Node.Propose("last"u8.ToArray(), out _, out LogIndex index);
        Invariant.Assert(result == ProposeResult.Accepted);
        _openReads[++_nextRead] = (leader.Id, _safety.HighestCommit);
        Invariant.Assert(leader.Node.ReadIndex(_nextRead) == ReadResult.Accepted);
        Settle();
        leader.Node.Tick();
        Settle();
        Invariant.Assert(_members.All(member => member.Node.AppliedIndex == index), "everybody has applied the last proposal");
        Invariant.Assert(_openReads.Count == 0, "no read stays unanswered");
        _safety.CheckLogs();
    }

    public override string ToString() => string.Join('\n', _members);

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
            case < 93:
                Propose(member);
                break;
            case < 96:
                Read(member);
                break;
            case < 97:
                Cut(member);
                break;
            case < 99:
                Housekeeping(member);
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

    private void CrashOrRestart(RaftMember member)
    {
        if (!member.Up)
        {
            member.Restart(new Random(_random.Next()));
        }
        else if (_random.Next(4) < (_turbulent ? 3 : _crashWeight))
        {
            // Reads that were asked of a process that dies are never answered.
            foreach (ulong context in _openReads.Where(read => read.Value.Asked == member.Id).Select(read => read.Key).ToArray())
            {
                _openReads.Remove(context);
            }

            member.Crash();
        }
    }
}

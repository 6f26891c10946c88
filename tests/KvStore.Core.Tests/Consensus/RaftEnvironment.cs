using System.Globalization;
using System.Text;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Tests.Consensus;

/// <summary>
/// Plays a group from a script. A script is a text of comments (#), commands (&gt;) and, below each command, what happened. <see cref="Play"/> returns the same text with what
/// happened now. The verbs are the cases of <see cref="Execute"/>; replicas are numbers, logs are written as runs: "1x3 4x2" is three entries of term 1 and two of term 4.
/// </summary>
internal sealed class RaftEnvironment
{
    private const int MaxRounds = 1_000;

    private readonly SortedDictionary<ulong, RaftMember> _members = [];
    private readonly List<Envelope> _network = [];
    private readonly HashSet<(ulong From, ulong To)> _cut = [];
    private readonly StringBuilder _text = new();
    private readonly Dictionary<ulong, string> _names = [];
    private RaftSafety? _safety;
    private MembershipConfig _config = new([new ReplicaId(1)]);
    private RaftOptions _options = RaftOptions.Default;
    private bool _quiet;

    public static string Play(string script)
    {
        var environment = new RaftEnvironment();
        foreach (string line in script.Split('\n').Where(line => line.StartsWith('#') || line.StartsWith('>') || line.Trim().Length == 0))
        {
            environment._text.Append(line.TrimEnd()).Append('\n');
            if (line.StartsWith('>'))
            {
                environment.Run(line[1..].Trim());
            }
        }

        return environment._text.ToString().TrimEnd() + "\n";
    }

    private void Run(string command)
    {
        string[] words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Execute(words[0], words[1..]);
        foreach (RaftMember member in _members.Values)
        {
            _safety?.Check(member);
        }

        _safety?.CheckLogs();
    }

    private void Execute(string verb, string[] args)
    {
        switch (verb)
        {
            case "group":
                Group(args);
                break;
            case "boot":
                Boot(args);
                break;
            case "campaign":
                Member(args[0]).Node.Campaign();
                break;
            case "propose":
                Propose(Member(args[0]), args[1..]);
                break;
            case "members":
                Change(Member(args[0]), args[1..]);
                break;
            case "add":
                Join(args);
                break;
            case "read":
                Say($"{Member(args[0]).Node.ReadIndex(ulong.Parse(args[1], CultureInfo.InvariantCulture))}");
                break;
            case "process":
                Member(args[0]).Process();
                break;
            case "persist":
                Repeat(args, member => member.PersistOne());
                break;
            case "apply":
                Repeat(args, member => member.ApplyOne());
                break;
            case "tick":
                Tick(args);
                break;
            case "compact":
                Member(args[0]).Compact(new LogIndex(ulong.Parse(args[1], CultureInfo.InvariantCulture)));
                Say(Member(args[0]).ToString());
                break;
            case "transfer":
                Say($"{Member(args[0]).Node.TransferLeadership(Member(args[1]).Id)}");
                break;
            case "crash":
                Member(args[0]).Crash();
                break;
            case "restart":
                Member(args[0]).Restart(new Random(7));
                Say(Member(args[0]).ToString());
                break;
            case "damage":
                Member(args[0]).DamageAndRestart(int.Parse(args[1], CultureInfo.InvariantCulture), new Random(7));
                Say(Member(args[0]).ToString());
                break;
            case "log-level":
                _quiet = args[0] == "none";
                break;
            case "status":
                Status(args);
                break;
            case "log":
                RaftNode node = Member(args[0]).Node;
                Say(RaftMember.Show(node.EntriesAbove(node.FirstIndex.Previous).Span));
                break;
            default:
                Network(verb, args);
                break;
        }
    }

    private void Network(string verb, string[] args)
    {
        switch (verb)
        {
            case "stabilize":
                Stabilize(args);
                break;
            case "deliver":
                Deliver(args);
                break;
            case "deliver-last":
                DeliverAt(_network.FindLastIndex(envelope => envelope.Message.To.Value == Id(args[0])));
                break;
            case "drop":
                Say($"{_network.RemoveAll(envelope => Matches(envelope, args))} dropped");
                break;
            case "duplicate":
                _network.AddRange(_network.Where(envelope => Matches(envelope, args)).ToArray());
                break;
            case "messages":
                _network.ForEach(envelope => Say(Show(envelope)));
                break;
            case "isolate":
                foreach (ulong other in _members.Keys)
                {
                    _cut.Add((Id(args[0]), other));
                    _cut.Add((other, Id(args[0])));
                }

                break;
            case "cut":
                _cut.Add((Id(args[0]), Id(args[1])));
                break;
            case "heal":
                _cut.Clear();
                break;
            default:
                throw new InvalidOperationException($"no such verb: {verb}");
        }
    }

    private void Group(string[] args)
    {
        int voters = int.Parse(args[0], CultureInfo.InvariantCulture);
        int learners = args.Length > 1 && !args[1].Contains('=') ? int.Parse(args[1], CultureInfo.InvariantCulture) : 0;
        _config = new MembershipConfig(Ids(1, voters), Ids(voters + 1, learners));
        _options = new RaftOptions
        {
            ElectionTicksMin = 10,
            ElectionTicksMax = 15,
            HeartbeatTicks = Option(args, "heartbeat", 2),
            MaxInflightMessages = Option(args, "inflight", 8),
            MaxAppendBytes = Option(args, "append-bytes", 10_000),
            MaxUncommittedBytes = Option(args, "uncommitted-bytes", 10_000),
            MaxPendingReads = Option(args, "reads", 100),
            SnapshotAnswerTicks = 30,
        };
        foreach (ReplicaId id in _config.Members)
        {
            Add(id, default, []);
        }

        WatchSafety();
    }

    /// <summary>boot id term run run ...: a replica that comes up with this log on its disk.</summary>
    private void Boot(string[] args)
    {
        var log = new List<Entry>();
        foreach (string run in args[2..])
        {
            string[] parts = run.Split('x');
            for (int i = 0; i < int.Parse(parts[1], CultureInfo.InvariantCulture); i++)
            {
                log.Add(new Entry(new Term(ulong.Parse(parts[0], CultureInfo.InvariantCulture)), new LogIndex((ulong)log.Count + 1), EntryKind.Data, default));
            }
        }

        Add(new ReplicaId(Id(args[0])), new HardState(new Term(ulong.Parse(args[1], CultureInfo.InvariantCulture)), default, default), log);
        WatchSafety();
    }

    private void Add(ReplicaId id, HardState hardState, IEnumerable<Entry> log) =>
        _members[id.Value] = new RaftMember(id, _options, _config, new Random((int)id.Value), _network.Add, hardState, log) { Log = Say };

    /// <summary>add id [voter ...]: a replica with an empty disk, which was told of a group of these voters (by default of the group at the start).</summary>
    private void Join(string[] args)
    {
        MembershipConfig config = args.Length > 1 ? new MembershipConfig(args[1..].Select(Word)) : _config;
        ReplicaId id = new(Id(args[0]));
        _members[id.Value] = new RaftMember(id, _options, config, new Random((int)id.Value), _network.Add) { Log = Say };
        WatchSafety();
    }

    /// <summary>members at voter ... [| learner ...]: the configuration that is wanted.</summary>
    private void Change(RaftMember member, string[] words)
    {
        int bar = Array.IndexOf(words, "|");
        string[] voters = bar < 0 ? words : words[..bar];
        string[] learners = bar < 0 ? [] : words[(bar + 1)..];
        var target = new MembershipConfig(voters.Select(Word), learners.Select(Word));
        ProposeResult result = member.Node.ProposeMembership(target, "context"u8.ToArray(), out Term term, out LogIndex index);
        Say(result == ProposeResult.Accepted ? $"{result} {index.Value}@{term.Value}" : $"{result}");
    }

    private void WatchSafety() => _safety = new RaftSafety(_members.Values);

    private void Propose(RaftMember member, string[] payloads)
    {
        foreach (string payload in payloads)
        {
            ProposeResult result = member.Node.Propose(Encoding.UTF8.GetBytes(payload), out Term term, out LogIndex index);
            Say(result == ProposeResult.Accepted ? $"{result} {index.Value}@{term.Value}" : $"{result}");
        }
    }

    private void Tick(string[] args)
    {
        for (int i = 0; i < Count(args); i++)
        {
            Member(args[0]).Node.Tick();
        }
    }

    private void Repeat(string[] args, Func<RaftMember, bool> act)
    {
        for (int i = 0; i < Count(args) && act(Member(args[0])); i++)
        {
        }
    }

    private void Stabilize(string[] args)
    {
        HashSet<ulong> among = [.. args.Length == 0 ? _members.Keys : args.Select(Id)];
        for (int round = 0; round < MaxRounds; round++)
        {
            bool busy = false;
            foreach (ulong id in among.Order())
            {
                RaftMember member = _members[id];
                busy |= member.Process() | member.PersistOne() | member.ApplyOne();
                busy |= DeliverTo(id, int.MaxValue, from: null);
            }

            if (!busy)
            {
                return;
            }
        }

        throw new InvalidOperationException("the group does not come to rest");
    }

    /// <summary>deliver to [count] [from]</summary>
    private void Deliver(string[] args) => DeliverTo(Id(args[0]), Count(args), args.Length > 2 ? Id(args[2]) : null);

    private bool DeliverTo(ulong to, int count, ulong? from)
    {
        bool any = false;
        for (; count > 0; count--)
        {
            int at = _network.FindIndex(envelope => envelope.Message.To.Value == to && (from is null || envelope.Message.From.Value == from));
            if (at < 0)
            {
                return any;
            }

            DeliverAt(at);
            any = true;
        }

        return any;
    }

    private void DeliverAt(int at)
    {
        Envelope envelope = _network[at];
        _network.RemoveAt(at);
        ulong to = envelope.Message.To.Value;
        bool lost = _cut.Contains((envelope.Message.From.Value, to)) || !_members[to].Up;
        Say($"  {Show(envelope)}{(lost ? " (lost)" : "")}");
        if (!lost)
        {
            _members[to].Receive(envelope);
        }
    }

    private void Status(string[] args)
    {
        foreach (RaftMember member in args.Length == 0 ? _members.Values : args.Select(Member))
        {
            Say(member.ToString(), always: true);
            if (member.Up && !member.Node.Members.Equals(_config))
            {
                Say($"  members {member.Node.Members}", always: true);
            }

            if (args.Length == 0)
            {
                continue;
            }

            Say($"  quorum contact {member.Node.HasQuorumContact}, stable {member.Node.StableIndex}", always: true);
            foreach (ProgressStatus row in member.Node.DescribeProgress())
            {
                Say($"  {row.Id} match {row.Match} next {row.Next} {row.State}{(row.RecentlyActive ? "" : " silent")}{(row.IsVoter ? "" : " learner")}", always: true);
            }
        }
    }

    private void Say(string line) => Say(line, always: false);

    private void Say(string line, bool always)
    {
        if (!_quiet || always)
        {
            _text.Append(line).Append('\n');
        }
    }

    private string Show(Envelope envelope)
    {
        RaftMessage m = envelope.Message;
        string round = ShowRound(m.Round);
        var text = new StringBuilder($"{m.From}->{m.To} {m.Kind} {m.Term}");
        text.Append(m.Kind switch
        {
            RaftMessageKind.Append => $" after {m.Index.Value}@{m.LogTerm.Value} commit {m.Commit} [{RaftMember.Show(m.Entries.Span)}]",
            RaftMessageKind.AppendResponse when m.Reject => $" rejects {m.Index} hint {m.Hint.Value}@{m.LogTerm.Value}",
            RaftMessageKind.AppendResponse => $" has {m.Index}",
            RaftMessageKind.PreVote or RaftMessageKind.Vote => $" last {m.Index.Value}@{m.LogTerm.Value}",
            RaftMessageKind.PreVoteResponse or RaftMessageKind.VoteResponse => m.Reject ? " no" : " yes",
            RaftMessageKind.ReadIndexResponse => m.Reject ? " refused" : $" at {m.Index} commit {m.Commit}",
            RaftMessageKind.Damaged => m.Reject ? " log void" : " log short",
            RaftMessageKind.Heartbeat => $" commit {m.Commit}",
            RaftMessageKind.Snapshot => $" at {envelope.Snapshot!.Index.Value}@{envelope.Snapshot.Term.Value}",
            _ => "",
        });
        return text.Append(round).ToString();
    }

    /// <summary>Numbers that replicas draw at random are named in the order in which they are seen.</summary>
    private string ShowRound(ulong round)
    {
        if (round < 1_000_000)
        {
            return round == 0 ? "" : $" round {round}";
        }

        if (!_names.TryGetValue(round, out string? name))
        {
            name = $"#{_names.Count + 1}";
            _names.Add(round, name);
        }

        return $" {name}";
    }

    private static bool Matches(Envelope envelope, string[] args) =>
        (args[0] == "*" || envelope.Message.From.Value == Id(args[0])) && (args.Length < 2 || args[1] == "*" || envelope.Message.To.Value == Id(args[1]));

    private static IEnumerable<ReplicaId> Ids(int first, int count) => Enumerable.Range(first, count).Select(id => new ReplicaId((ulong)id));

    private static ReplicaId Word(string word) => new(Id(word));

    private static ulong Id(string word) => ulong.Parse(word, CultureInfo.InvariantCulture);

    private static int Count(string[] args) => args.Length > 1 ? (args[1] == "all" ? int.MaxValue : int.Parse(args[1], CultureInfo.InvariantCulture)) : 1;

    private static int Option(string[] args, string name, int otherwise)
    {
        string? found = args.FirstOrDefault(arg => arg.StartsWith(name + "=", StringComparison.Ordinal));
        return found is null ? otherwise : int.Parse(found[(name.Length + 1)..], CultureInfo.InvariantCulture);
    }

    private RaftMember Member(string word) => _members[Id(word)];
}

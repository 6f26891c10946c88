using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Network;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>Answers of an earlier term come again under the term of now.</summary>
internal sealed class ReplayAcrossTerms : PlantedBug
{
    public override string Name => "replay-across-terms";

    public override string StandsFor => "Frames that are kept over a reconnect and stamped with the term when they leave: old answers count in a new term (scenario 9, the ABA of asynchronous appends).";

    public override string ExpectedBy => "OneLeaderPerTerm, CommittedEntriesStay, Invariants";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn);

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Replayer(transport);

    private sealed class Replayer(IPeerTransport inner) : TransportDecorator(inner)
    {
        private readonly Dictionary<(NodeId, RaftMessageKind), RaftMessage> _kept = [];

        public override void Send(ShardId shard, NodeId to, in RaftMessage message)
        {
            base.Send(shard, to, message);
            Repeat(RaftMessageKind.AppendResponse, shard, to, message.Term);
            Repeat(RaftMessageKind.VoteResponse, shard, to, message.Term);

            if (!message.Reject && message.Kind is RaftMessageKind.AppendResponse or RaftMessageKind.VoteResponse)
            {
                _kept[(to, message.Kind)] = message;
            }
        }

        private void Repeat(RaftMessageKind kind, ShardId shard, NodeId to, Term now)
        {
            if (_kept.TryGetValue((to, kind), out RaftMessage old) && old.Term < now)
            {
                old.Term = now;
                base.Send(shard, to, old);
            }
        }
    }
}

/// <summary>All read rounds of a term share one number, so an answer to any of them confirms each later one, too.</summary>
internal sealed class RoundReused : PlantedBug
{
    private readonly HashSet<(NodeId Leader, int Incarnation, Term Term, ReplicaId By)> _answered = [];

    public override string Name => "round-reused";

    public override string StandsFor => "A read context that is used again: an answer to an old heartbeat confirms a newer read (etcd#20418).";

    public override string ExpectedBy => "FreshReads, Linearizability";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn) with { Readers = 2, Clients = 6 };

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Rememberer(this, node, transport);

    public override void Receive(SimulatedNode node, ref RaftMessage message)
    {
        if (message.Kind == RaftMessageKind.HeartbeatResponse && message.Round > 0)
        {
            _answered.Add((node.Id, node.Incarnation, message.Term, message.From));
        }
    }

    private sealed class Rememberer(RoundReused bug, SimulatedNode node, IPeerTransport inner) : TransportDecorator(inner)
    {
        public override void Send(ShardId shard, NodeId to, in RaftMessage message)
        {
            base.Send(shard, to, message);
            if (message.Kind == RaftMessageKind.Heartbeat && message.Round > 0 && bug._answered.Contains((node.Id, node.Incarnation, message.Term, message.To)))
            {
                var old = new RaftMessage { Kind = RaftMessageKind.HeartbeatResponse, From = message.To, To = message.From, Term = message.Term, Round = message.Round };
                node.Post("old answer", replica => replica.Receive(to, old));
            }
        }
    }
}

/// <summary>A heartbeat counts as answered while the peer's process is up.</summary>
internal sealed class LivenessAsQuorum : PlantedBug
{
    public override string Name => "liveness-as-quorum";

    public override string StandsFor => "Node-level liveness taken for the quorum's contact: a deposed leader whose peers are up goes on serving reads (C8).";

    public override string ExpectedBy => "FreshReads, Linearizability";

    /// <summary>Reads all the time, so that one meets the deposed leader in the moment in which another one leads.</summary>
    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn) with { Readers = 3, Clients = 7 };

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Forger(this, node, transport);

    private sealed class Forger(LivenessAsQuorum bug, SimulatedNode node, IPeerTransport inner) : TransportDecorator(inner)
    {
        public override void Send(ShardId shard, NodeId to, in RaftMessage message)
        {
            base.Send(shard, to, message);
            if (message.Kind == RaftMessageKind.Heartbeat && bug.NodeOf(message.To).IsUp)
            {
                var answer = new RaftMessage { Kind = RaftMessageKind.HeartbeatResponse, From = message.To, To = message.From, Term = message.Term, Round = message.Round };
                node.Post("forged answer", replica => replica.Receive(to, answer));
            }
        }
    }
}

/// <summary>Heartbeats carry the leader's whole commit index.</summary>
internal sealed class HeartbeatCommitUnbounded : PlantedBug
{
    public override string Name => "heartbeat-commit-unbounded";

    public override string StandsFor => "A commit index that a heartbeat carries beyond what the follower is known to match: it commits what it happens to hold there.";

    public override string ExpectedBy => "CommittedEntriesStay, Invariants";

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Teller(node, transport);

    private sealed class Teller(SimulatedNode node, IPeerTransport inner) : TransportDecorator(inner)
    {
        public override void Send(ShardId shard, NodeId to, in RaftMessage message)
        {
            RaftMessage told = message;
            if (message.Kind == RaftMessageKind.Heartbeat)
            {
                told.Commit = node.Replica!.Describe().Commit;
            }

            base.Send(shard, to, told);
        }
    }
}

/// <summary>A follower takes entries without looking at the one before them.</summary>
internal sealed class AppendUnchecked : PlantedBug
{
    public override string Name => "append-unchecked";

    public override string StandsFor => "The consistency check of an append left out: entries are put behind others than those they follow (Raft, section 5.3).";

    public override string ExpectedBy => "LogsAgree, CommittedEntriesStay";

    public override void Receive(SimulatedNode node, ref RaftMessage message)
    {
        NodeLog log = Cluster.Watch.Logs.Of(node);
        Term here = log.TermAt(message.Index);
        if (message.Kind == RaftMessageKind.Append && here != Term.Zero)
        {
            message.LogTerm = here;
        }
    }
}

/// <summary>A follower leaves out one entry of several and closes the gap.</summary>
internal sealed class EntrySkipped : PlantedBug
{
    private const int Rarity = 10;

    public override string Name => "entry-skipped";

    public override string StandsFor => "A follower that skips an entry of an append: all that follow stand one index too low.";

    public override string ExpectedBy => "LogsAgree";

    public override void Receive(SimulatedNode node, ref RaftMessage message)
    {
        if (message.Kind == RaftMessageKind.Append && message.Entries.Length > 1 && OneIn(Rarity))
        {
            message.Entries = message.Entries.Span[1..].ToArray().Select(entry => entry with { Index = entry.Index.Previous }).ToArray();
        }
    }
}

/// <summary>A timer that does not survive a pause.</summary>
internal sealed class TimerStops : PlantedBug
{
    private readonly HashSet<(NodeId Node, int Incarnation)> _stopped = [];

    public override string Name => "timer-stops";

    public override string StandsFor => "A frozen clock: the timer of a process that stood still for a while never fires again, and nobody calls an election.";

    public override string ExpectedBy => "Progress";

    public override bool MayTick(SimulatedNode node)
    {
        if (node.IsPaused)
        {
            _stopped.Add((node.Id, node.Incarnation));
        }

        return !_stopped.Contains((node.Id, node.Incarnation));
    }
}

using FluentAssertions;
using KvStore.Client;
using KvStore.Client.Connections;
using KvStore.Client.Operations;
using KvStore.Client.Routing;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

/// <summary>What the client decides, without a socket and without a clock.</summary>
public sealed class AttemptPlanTests
{
    private const ulong Epoch = 3;

    private readonly Members _members = new(1, 2, 3);
    private readonly AttemptPlan _plan;
    private readonly Dispatcher _dispatcher;
    private readonly ClusterMap _map;

    public AttemptPlanTests()
    {
        KvClientOptions options = new();
        options.Endpoints.Add("http://127.0.0.1:1");
        _dispatcher = new Dispatcher(options, TimeProvider.System, new Random(1), (_, _) => throw new InvalidOperationException("Nothing is sent here."));
        _plan = new AttemptPlan(_members, _dispatcher.Seeds, attemptTimeoutMs: 100, new Random(7));
        _map = new ClusterMap(Told(leader: 2), previous: null);
    }

    [Fact]
    public void An_attempt_goes_to_the_leader_and_ends_with_the_attempt_timeout_or_the_deadline()
    {
        KvOperation put = Put(deadlineMs: 1_050);

        Next(put, nowMs: 0).Node!.Node.Should().Be(2);
        put.AttemptEndsMs.Should().Be(100);
        put.Wire.TimeoutMs.Should().Be(1_050);
        put.Wire.Epoch.Should().Be(Epoch);
        Next(put, nowMs: 1_000);
        put.AttemptEndsMs.Should().Be(1_050);
    }

    [Fact]
    public void A_refusal_with_a_hint_leads_to_the_hinted_node_at_once()
    {
        KvOperation put = Put();
        Next(put, nowMs: 0);

        _plan.OnAnswer(put, Refused(Code.NotLeader, hint: 3), from: 2, nowMs: 1).Kind.Should().Be(NextStepKind.Choose);

        Next(put, nowMs: 1).Node!.Node.Should().Be(3);
    }

    [Fact]
    public void An_increment_whose_first_attempt_may_have_happened_says_so_and_asks_on_until_somebody_can_tell()
    {
        var open = new ClusterMap(Told(leader: 0, PartitionPolicy.Ap), previous: null);
        KvOperation increment = Put();
        increment.Wire.Kind = OperationKind.Increment;
        uint first = _plan.Next(increment, open, 0, 0, nowMs: 0).Node!.Node;
        increment.Wire.MayHaveHappened.Should().BeFalse();
        AttemptPlan.OnLost(increment, first, AttemptLoss.Sent);

        uint second = _plan.Next(increment, open, 0, 0, nowMs: 1).Node!.Node;
        second.Should().NotBe(first);
        increment.Wire.MayHaveHappened.Should().BeTrue();
        WireResult untold = new() { Outcome = Outcome.Unknown, Code = Code.RequestExpired };
        _plan.OnAnswer(increment, untold, second, nowMs: 2).Kind.Should().Be(NextStepKind.Pause);
        _plan.Next(increment, open, 0, 0, nowMs: 50).Node!.Node.Should().NotBe(second);
    }

    [Fact]
    public void A_lost_stream_leads_elsewhere_and_leaves_a_write_that_was_sent_unresolved()
    {
        KvOperation put = Put();
        Next(put, nowMs: 0);

        AttemptPlan.OnLost(put, from: 2, AttemptLoss.Sent);

        put.Unresolved.Should().BeTrue();
        Next(put, nowMs: 1).Node!.Node.Should().NotBe(2);
    }

    [Fact]
    public void A_session_that_one_replica_is_behind_is_tried_at_the_others_and_reported_when_all_are_for_two_seconds()
    {
        KvOperation put = Put();
        for (long nowMs = 0; nowMs < 2_000; nowMs += 250)
        {
            NextStep next = Next(put, nowMs);
            if (next.Kind == NextStepKind.Send)
            {
                _plan.OnAnswer(put, Refused(Code.SessionBehind), next.Node!.Node, nowMs).Kind.Should().Be(NextStepKind.Choose);
            }
        }

        put.Attempts.Should().BeGreaterThan(3, "each replica was asked, and then again");
        NextStep last = Next(put, 2_000);
        for (int i = 0; last.Kind == NextStepKind.Send && i < 4; i++)
        {
            _plan.OnAnswer(put, Refused(Code.SessionBehind), last.Node!.Node, 2_000);
            last = Next(put, 2_000);
        }

        (last.Kind, last.Code).Should().Be((NextStepKind.Report, KvCode.SessionBehind));
        KvException failure = Failure.Of(put, last.Code, last.Reason, unknown: false);
        failure.Message.Should().Contain("SessionBehind").And.Contain("attempts").And.Contain("answered by the server").And.Contain("The write had no effect").And.Contain("begin a new session");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_write_that_never_left_is_not_unresolved(bool wasConnected)
    {
        AttemptLoss loss = wasConnected ? AttemptLoss.NeverSent : AttemptLoss.NeverConnected;
        KvOperation put = Put();
        Next(put, nowMs: 0);

        AttemptPlan.OnLost(put, from: 2, loss);

        put.Unresolved.Should().BeFalse();
    }

    [Fact]
    public void A_refusal_does_not_resolve_an_attempt_that_was_lost_before()
    {
        KvOperation put = Put();
        Next(put, nowMs: 0);
        AttemptPlan.OnLost(put, from: 2, AttemptLoss.Sent);
        Next(put, nowMs: 1);

        NextStep step = _plan.OnAnswer(put, Refused(Code.TooLarge), from: 1, nowMs: 2);

        step.Kind.Should().Be(NextStepKind.Report);
        put.Unresolved.Should().BeTrue("the first attempt may yet happen");
    }

    [Fact]
    public void An_answer_of_unknown_leaves_the_write_unresolved_and_is_tried_again_after_a_pause()
    {
        KvOperation put = Put();
        Next(put, nowMs: 0);

        NextStep step = _plan.OnAnswer(put, new WireResult { Outcome = Outcome.Unknown, Code = Code.LeadershipLost, Retryable = true }, from: 2, nowMs: 10);

        step.Kind.Should().Be(NextStepKind.Pause);
        put.Unresolved.Should().BeTrue();
        put.WakeAtMs.Should().BeInRange(13, 15);
    }

    [Fact]
    public void A_new_epoch_is_learnt_unless_an_earlier_attempt_is_unresolved()
    {
        KvOperation fresh = Put();
        Next(fresh, nowMs: 0);
        KvOperation open = Put();
        Next(open, nowMs: 0);
        AttemptPlan.OnLost(open, from: 2, AttemptLoss.Sent);
        Next(open, nowMs: 0);
        WireResult stale = new() { Outcome = Outcome.NotDone, Code = Code.StaleEpoch, Epoch = Epoch + 1, Retryable = true };

        _plan.OnAnswer(fresh, stale, from: 2, nowMs: 1).Kind.Should().Be(NextStepKind.Pause);
        fresh.Wire.Epoch.Should().Be(Epoch + 1);
        NextStep outcome = _plan.OnAnswer(open, stale, from: 1, nowMs: 1);
        (outcome.Kind, outcome.Code).Should().Be((NextStepKind.Report, KvCode.EpochPassed));
        open.Wire.Epoch.Should().Be(Epoch, "under a new epoch the old attempt would not be found");
    }

    [Fact]
    public void A_change_of_regime_that_one_answer_tells_counts_for_all_that_is_sent_next()
    {
        KvOperation first = Put();
        Next(first, nowMs: 0).Node!.Node.Should().Be(2, "it leads");
        _plan.OnAnswer(first, new WireResult { Outcome = Outcome.NotDone, Code = Code.StaleEpoch, Epoch = Epoch + 3, Regime = Regime.Open, Retryable = true }, from: 2, nowMs: 1);
        _plan.OnAnswer(first, new WireResult { Outcome = Outcome.NotDone, Code = Code.Switching, Epoch = Epoch + 2, Regime = Regime.Ordered, Retryable = true }, from: 2, nowMs: 1).Kind.Should().Be(NextStepKind.Pause);

        KvOperation second = Put();
        NextStep step = Next(second, nowMs: 2);

        second.Wire.Epoch.Should().Be(Epoch + 3, "what an earlier epoch said afterwards is older");
        step.Node!.Node.Should().Be(1, "in an open shard the first replica takes all writes");
    }

    [Fact]
    public void A_topology_of_a_node_that_lags_does_not_bring_an_old_epoch_back()
    {
        KvOperation put = Put();
        Next(put, nowMs: 0);
        _plan.OnAnswer(put, new WireResult { Outcome = Outcome.Done, Epoch = Epoch + 1, Regime = Regime.Open }, from: 2, nowMs: 1);

        Topology behind = Told(leader: 3);
        behind.Keyspaces[0].Shards[0].Epoch = Epoch;
        behind.Keyspaces[0].Shards[0].Regime = Regime.Ordered;
        ShardRoute shard = new ClusterMap(behind, _map).Find("ks")!.Shards[0];
        (shard.Epoch, shard.IsOpen).Should().Be((Epoch + 1, true));

        behind.Keyspaces[0].Shards[0].Epoch = Epoch + 4;
        shard = new ClusterMap(behind, _map).Find("ks")!.Shards[0];
        (shard.Epoch, shard.IsOpen).Should().Be((Epoch + 4, false));
    }

    [Fact]
    public void When_each_replica_misses_the_quorum_that_is_the_outcome_unless_the_caller_is_patient()
    {
        KvOperation hasty = Put();
        KvOperation patient = Put();
        patient.RetryNoQuorumUntilDeadline = true;
        foreach (KvOperation put in (KvOperation[])[hasty, patient])
        {
            for (int i = 0; i < 3; i++)
            {
                uint asked = Next(put, nowMs: i).Node!.Node;
                _plan.OnAnswer(put, Refused(Code.NoQuorum), asked, nowMs: i).Kind.Should().Be(NextStepKind.Pause);
            }
        }

        NextStep outcome = Next(hasty, nowMs: 5);
        (outcome.Kind, outcome.Code).Should().Be((NextStepKind.Report, KvCode.NoQuorum));
        Next(patient, nowMs: 5).Kind.Should().Be(NextStepKind.Pause);
    }

    [Fact]
    public void At_the_deadline_a_refusal_that_still_stood_is_told_and_a_lost_attempt_is_not_covered_up_by_it()
    {
        KvOperation refused = Put();
        Next(refused, nowMs: 0);
        _plan.OnAnswer(refused, Refused(Code.NoLeader), from: 2, nowMs: 1);
        KvOperation lost = Put();
        Next(lost, nowMs: 0);
        AttemptPlan.OnLost(lost, from: 2, AttemptLoss.Sent);
        Next(lost, nowMs: 1);
        _plan.OnAnswer(lost, Refused(Code.NoLeader), from: 1, nowMs: 2);

        _plan.OnDeadline(refused, nowMs: 30_000).Code.Should().Be(KvCode.NoLeader);
        _plan.OnDeadline(lost, nowMs: 30_000).Code.Should().Be(KvCode.DeadlineExceeded);
    }

    [Fact]
    public void An_unknown_keyspace_is_waited_for_one_second()
    {
        KvOperation put = Put();
        put.Keyspace = "unheard-of";

        _plan.Next(put, map: null, session: 0, floor: 0, nowMs: 5_000).Kind.Should().Be(NextStepKind.AwaitTopology, "no topology was heard yet");
        Next(put, nowMs: 999).Kind.Should().Be(NextStepKind.AwaitTopology);
        Next(put, nowMs: 1_000).Code.Should().Be(KvCode.UnknownKeyspace);
    }

    [Fact]
    public void A_keyspace_is_unknown_only_where_a_node_told_that_had_read_the_catalog()
    {
        KvOperation put = Put();
        put.Keyspace = "unheard-of";
        Topology told = Told(leader: 1);
        told.CatalogRead = false;
        var configured = new ClusterMap(told, previous: null);

        _plan.Next(put, configured, session: 0, floor: 0, nowMs: 30_000).Kind.Should().Be(NextStepKind.AwaitTopology, "it may exist");
        NextStep end = _plan.OnDeadline(put, nowMs: 30_000);
        (end.Code, end.Reason).Should().Be((KvCode.DeadlineExceeded, "the deadline passed, and no node that could be asked has read since its start which keyspaces there are"));

        Topology read = Told(leader: 1);
        ClusterMap complete = ClusterMap.Advance(configured, read)!;
        _plan.Next(put, complete, session: 0, floor: 0, nowMs: 30_000).Code.Should().Be(KvCode.UnknownKeyspace);
        told.Revision = 2;
        ClusterMap.Advance(complete, told)!.IsComplete.Should().BeTrue("what is newer than a topology that was complete names no fewer keyspaces");
    }

    [Fact]
    public void A_minority_of_an_adaptive_keyspace_is_asked_until_it_serves_provisionally()
    {
        Topology told = Told(leader: 1);
        told.Keyspaces[0].Policy = PartitionPolicy.Adaptive;
        told.Keyspaces[0].ProvisionalAfterMs = 4_000;
        ClusterMap adaptive = new(told, null);
        KvOperation put = Put();
        long nowMs = 0;
        NextStep step = default;
        for (int i = 0; i < 1_000 && step.Kind != NextStepKind.Report; i++, nowMs += 50)
        {
            step = _plan.Next(put, adaptive, session: 0, floor: 0, nowMs);
            if (step.Kind == NextStepKind.Send)
            {
                step = _plan.OnAnswer(put, Refused(Code.NoQuorum), step.Node!.Node, nowMs);
            }
        }

        step.Code.Should().Be(KvCode.NoQuorum);
        nowMs.Should().BeInRange(4_900, 6_000, "in a cp keyspace it would end after two seconds");
    }

    [Fact]
    public void A_request_in_doubt_ends_the_session_and_its_floor_stays_below_it()
    {
        RequestWindow window = new(new Random(3));
        KvOperation first = Put(), second = Put(), third = Put();
        window.TryBeginOrPark(first).Should().BeTrue();
        window.TryBeginOrPark(second).Should().BeTrue();
        List<KvOperation>? admitted = null;
        window.Finish(first.Wire.Session, first.Wire.Sequence, inDoubt: true, ref admitted);
        window.Finish(second.Wire.Session, second.Wire.Sequence, inDoubt: true, ref admitted);
        window.TryBeginOrPark(third).Should().BeTrue();

        third.Wire.Session.Should().NotBe(first.Wire.Session);
        third.Wire.Sequence.Should().Be(1);
        window.Current.Should().Be((third.Wire.Session, 0ul));
        second.Wire.AcknowledgedFloor.Should().Be(0);
    }

    [Fact]
    public void Pauses_grow_from_5_to_100_milliseconds_and_are_the_same_for_the_same_seed()
    {
        long[] Pauses()
        {
            AttemptPlan plan = new(_members, _dispatcher.Seeds, attemptTimeoutMs: 100, new Random(11));
            KvOperation put = Put();
            Next(put, nowMs: 0);
            return [.. Enumerable.Range(0, 12).Select(_ =>
            {
                plan.OnAnswer(put, new WireResult { Outcome = Outcome.NotDone, Code = Code.Overloaded, Retryable = true }, from: 2, nowMs: 0);
                return put.WakeAtMs;
            })];
        }

        long[] pauses = Pauses();

        pauses[0].Should().BeInRange(3, 5);
        pauses.Should().AllSatisfy(pause => pause.Should().BeInRange(3, 100));
        pauses[^1].Should().BeGreaterThanOrEqualTo(50);
        Pauses().Should().Equal(pauses);
    }

    private static WireResult Refused(Code code, uint hint = 0) => new() { Outcome = Outcome.NotDone, Code = code, LeaderHint = hint, Retryable = code != Code.TooLarge };

    private static Topology Told(uint leader, PartitionPolicy policy = PartitionPolicy.Cp)
    {
        Shard shard = new() { LeaderHint = leader };
        shard.Replicas.AddRange(((uint[])[1, 2, 3]).Select(node => new Replica { Node = node, ReplicaId = node }));
        Keyspace keyspace = new() { Id = 7, Name = "ks", Policy = policy, Epoch = Epoch };
        keyspace.Shards.Add(shard);
        Topology topology = new() { ClusterId = "c", Revision = 1, Node = 1, CatalogRead = true };
        topology.Keyspaces.Add(keyspace);
        return topology;
    }

    private NextStep Next(KvOperation operation, long nowMs) => _plan.Next(operation, _map, session: 0, floor: 0, nowMs);

    private KvOperation Put(long deadlineMs = 60_000) => new(_dispatcher)
    {
        Keyspace = "ks",
        DeadlineMs = deadlineMs,
        GiveUpMs = long.MaxValue,
        Wire = new WireOperation { Kind = OperationKind.Put, Key = "k"u8.ToArray(), Value = "v"u8.ToArray() },
    };

    /// <summary>Nodes that can all be reached.</summary>
    private sealed class Members(params uint[] ids) : IRoutableNodes
    {
        private readonly IRoutableNode[] _nodes = [.. ids.Select(id => new Member(id))];

        public ReadOnlySpan<IRoutableNode> All => _nodes;

        public IRoutableNode? Find(uint node) => _nodes.FirstOrDefault(known => known.Node == node);
    }

    private sealed record Member(uint Node) : IRoutableNode
    {
        public bool IsOpen => true;

        public double ExpectedWait => 1;

        public bool IsUsable(long nowMs) => true;
    }
}

using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>How a group falls silent, one message at a time: what counts as an agreement, and what wakes.</summary>
public sealed class QuiescenceTests
{
    private static readonly RaftOptions Sleepy = SingleNode.Options with { QuiesceAfterTicks = 2, QuietRenewTicks = 6, QuietLimitTicks = 16 };

    [Fact]
    public void When_all_have_agreed_to_the_offer_the_leader_is_quiet()
    {
        SingleNode leader = Leader();
        ulong offer = Offer(leader);
        Agrees(leader, 2, offer);
        leader.Node.IsQuiet.Should().BeFalse("one is missing");
        Agrees(leader, 3, offer);
        leader.Node.IsQuiet.Should().BeTrue();
    }

    [Fact]
    public void An_offer_is_withdrawn_when_something_is_asked_of_the_group()
    {
        SingleNode leader = Leader();
        ulong offer = Offer(leader);
        leader.Node.ReadIndex(7).Should().Be(ReadResult.Accepted);
        ulong round = leader.Ready().First(message => message.Kind == RaftMessageKind.Heartbeat).Round;
        leader.Beats(2, round);
        leader.Beats(3, round);
        leader.Ready();
        leader.Reads.Should().HaveCount(1, "nothing is under way any more");

        Agrees(leader, 2, offer);
        Agrees(leader, 3, offer);
        leader.Node.IsQuiet.Should().BeFalse("they agreed to what was before");
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(false, false)]
    [InlineData(true, true)]
    public void Who_agreed_and_then_answers_otherwise_agrees_no_more(bool namesTheEntry, bool rejects)
    {
        SingleNode leader = Leader();
        ulong offer = Offer(leader);
        Agrees(leader, 2, offer);
        leader.Step(new RaftMessage
        {
            Kind = RaftMessageKind.HeartbeatResponse,
            From = new ReplicaId(2),
            Term = leader.Node.Term,
            Round = offer,
            Index = namesTheEntry ? leader.Node.LastIndex : LogIndex.Zero,
            Reject = rejects,
        });
        Agrees(leader, 3, offer);
        leader.Node.IsQuiet.Should().BeFalse("the second is awake");
    }

    [Fact]
    public void An_agreement_to_an_earlier_offer_or_of_a_stranger_does_not_count()
    {
        SingleNode leader = Leader();
        ulong earlier = Offer(leader);
        leader.Node.ReadIndex(7);
        ulong round = leader.Ready().First(message => message.Kind == RaftMessageKind.Heartbeat).Round;
        leader.Beats(2, round);
        leader.Beats(3, round);
        ulong offer = Offer(leader);
        offer.Should().NotBe(earlier);

        Agrees(leader, 2, earlier);
        Agrees(leader, 9, offer);
        Agrees(leader, 3, offer);
        leader.Node.IsQuiet.Should().BeFalse();
        Agrees(leader, 2, offer);
        leader.Node.IsQuiet.Should().BeTrue();
    }

    [Fact]
    public void A_quiet_leader_whose_renewed_offers_nobody_answers_wakes()
    {
        SingleNode leader = QuietLeader();
        for (int renewal = 0; renewal < 3; renewal++)
        {
            leader.Node.TickQuiet(6);
            leader.Ready();
        }

        leader.Node.IsQuiet.Should().BeFalse();
    }

    [Fact]
    public void A_quiet_leader_whose_renewed_offers_are_answered_stays_quiet()
    {
        SingleNode leader = QuietLeader();
        for (int renewal = 0; renewal < 6; renewal++)
        {
            leader.Node.TickQuiet(6);
            ulong offer = leader.Ready().First(message => message.Kind == RaftMessageKind.Heartbeat && message.Index > LogIndex.Zero).Round;
            Agrees(leader, 2, offer);
            Agrees(leader, 3, offer);
        }

        leader.Node.IsQuiet.Should().BeTrue();
    }

    [Theory]
    [InlineData(RaftMessageKind.AppendResponse)]
    [InlineData(RaftMessageKind.SnapshotResponse)]
    public void A_quiet_leader_is_woken_by_any_answer_that_is_no_agreement(RaftMessageKind kind)
    {
        SingleNode leader = QuietLeader();
        leader.Step(new RaftMessage { Kind = kind, From = new ReplicaId(2), Term = leader.Node.Term, Index = leader.Node.LastIndex });
        leader.Node.IsQuiet.Should().BeFalse();
    }

    [Theory]
    [InlineData("a transfer")]
    [InlineData("a change of members")]
    [InlineData("damage")]
    public void A_quiet_leader_is_woken_by_what_is_asked_of_it(string what)
    {
        SingleNode leader = QuietLeader();
        switch (what)
        {
            case "a transfer":
                leader.Node.TransferLeadership(new ReplicaId(2)).Should().BeTrue();
                break;
            case "a change of members":
                leader.Node.ProposeMembership(new MembershipConfig([new ReplicaId(1), new ReplicaId(2)]), default, out _, out _);
                break;
            default:
                leader.Node.Quarantine();
                break;
        }

        leader.Node.IsQuiet.Should().BeFalse();
    }

    [Fact]
    public void A_quiet_follower_is_woken_by_an_append_and_by_a_heartbeat_that_offers_nothing()
    {
        SingleNode follower = QuietFollower();
        follower.Append(3, 2, 1, 2, SingleNode.Entries(3, 3));
        follower.Node.IsQuiet.Should().BeFalse();

        follower = QuietFollower();
        follower.Step(RaftMessageKind.Heartbeat, 2, 3);
        follower.Node.IsQuiet.Should().BeFalse();
    }

    [Fact]
    public void News_that_the_leaders_node_is_lost_ends_its_lease_only_where_it_was_not_heard_since_waking()
    {
        SingleNode unheard = QuietFollower();
        unheard.Node.Wake();
        unheard.Tick(2);
        unheard.Node.OnLeaderUnreachable();
        GrantsPreVote(unheard).Should().BeTrue("the detector has waited long enough");

        SingleNode heard = QuietFollower();
        heard.Node.Wake();
        heard.Tick(2);
        heard.Step(RaftMessageKind.Heartbeat, 2, 3);
        heard.Tick(1);
        heard.Node.OnLeaderUnreachable();
        GrantsPreVote(heard).Should().BeFalse("in an awake group its own messages decide");
    }

    [Theory]
    [InlineData("nothing", true)]
    [InlineData("an entry that is not applied yet", false)]
    [InlineData("an entry that one member lacks", false)]
    [InlineData("an entry that is not durable here", false)]
    [InlineData("a read that waits for its round", false)]
    public void A_leader_offers_to_fall_silent_only_when_nothing_is_under_way(string what, bool offers)
    {
        SingleNode leader = Leader();
        Start(leader, what);
        bool offered = false;
        for (int tick = 0; tick < 12; tick++)
        {
            leader.Tick(1);
            offered |= leader.Ready().Any(message => message.Kind == RaftMessageKind.Heartbeat && message.Index > LogIndex.Zero);

            // A sign of life, and no confirmation of any round.
            leader.Beats(2);
            leader.Beats(3);
        }

        leader.Node.State.Should().Be(RaftRole.Leader);
        offered.Should().Be(offers);
    }

    [Fact]
    public void A_leader_that_was_quiet_until_a_moment_ago_ignores_elections_until_its_followers_can_have_answered()
    {
        SingleNode leader = QuietLeader();
        leader.Node.TickQuiet(5);
        leader.Node.Wake();
        leader.Ready();
        leader.Tick(9);
        leader.Step(RaftMessageKind.Vote, 3, leader.Node.Term.Value + 1);
        leader.Node.State.Should().Be(RaftRole.Leader, "the follower that asks has only just woken too");

        SingleNode awake = Leader();
        awake.Tick(9);
        awake.Step(RaftMessageKind.Vote, 3, awake.Node.Term.Value + 1);
        awake.Node.State.Should().Be(RaftRole.Leader, "its quorum was heard lately");
    }

    private static void Start(SingleNode leader, string what)
    {
        LogIndex index;
        switch (what)
        {
            case "an entry that is not applied yet":
                index = leader.Propose();
                leader.Ready();
                leader.Accepts(2, index.Value);
                leader.Accepts(3, index.Value);
                break;
            case "an entry that one member lacks":
                index = leader.Propose();
                leader.Ready();
                leader.Accepts(2, index.Value);
                leader.Ready();
                leader.Apply();
                break;
            case "an entry that is not durable here":
                leader.SlowDisk = true;
                index = leader.Propose();
                leader.Ready();
                leader.Accepts(2, index.Value);
                leader.Accepts(3, index.Value);
                leader.Ready();
                leader.Apply();
                break;
            case "a read that waits for its round":
                leader.Node.ReadIndex(7).Should().Be(ReadResult.Accepted);
                break;
            default:
                break;
        }
    }

    private static SingleNode Leader()
    {
        SingleNode leader = SingleNode.Leader(Sleepy);
        leader.Node.MayRest = true;
        return leader;
    }

    private static SingleNode QuietLeader()
    {
        SingleNode leader = Leader();
        ulong offer = Offer(leader);
        Agrees(leader, 2, offer);
        Agrees(leader, 3, offer);
        leader.Node.IsQuiet.Should().BeTrue();
        return leader;
    }

    /// <summary>A quiet follower of replica 2 in term 3, with two entries.</summary>
    private static SingleNode QuietFollower()
    {
        var follower = new SingleNode(Sleepy, recovered: SingleNode.Disk(3, 2, 1, 1));
        follower.Tick(1);
        follower.Step(RaftMessageKind.Heartbeat, 2, 3);
        follower.Ready();
        follower.Apply();
        follower.Node.MayRest = true;
        follower.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = new ReplicaId(2), Term = new Term(3), Index = new LogIndex(2), LogTerm = new Term(1), Commit = new LogIndex(2), Round = 5 });
        follower.Ready();
        follower.Node.IsQuiet.Should().BeTrue();
        return follower;
    }

    /// <summary>Lets time pass until the leader offers to fall silent.</summary>
    private static ulong Offer(SingleNode leader)
    {
        for (int tick = 0; tick < 9; tick++)
        {
            leader.Tick(1);
            RaftMessage offer = leader.Ready().FirstOrDefault(message => message.Kind == RaftMessageKind.Heartbeat && message.Index > LogIndex.Zero);
            if (offer.Round != 0)
            {
                return offer.Round;
            }
        }

        throw new InvalidOperationException("There was no offer.");
    }

    private static void Agrees(SingleNode leader, ulong from, ulong offer) => leader.Step(new RaftMessage
    {
        Kind = RaftMessageKind.HeartbeatResponse,
        From = new ReplicaId(from),
        Term = leader.Node.Term,
        Index = leader.Node.LastIndex,
        Round = offer,
    });

    private static bool GrantsPreVote(SingleNode node)
    {
        node.Ready();
        node.Step(new RaftMessage { Kind = RaftMessageKind.PreVote, From = new ReplicaId(3), Term = new Term(4), Index = new LogIndex(9), LogTerm = new Term(3) });
        return node.Ready().Any(message => message.Kind == RaftMessageKind.PreVoteResponse && !message.Reject);
    }
}

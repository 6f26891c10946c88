using FluentAssertions;
using KvStore.Core.Detection;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Detection;

public sealed class ReachabilityTests
{
    private static readonly NodeId Self = new(1);
    private static readonly NodeId Peer = new(2);
    private readonly Reachability _reachability = new(Self, new PhiAccrualOptions { FirstIntervalMs = 100 }, claimLifetimeMs: 500);

    [Fact]
    public void A_node_reaches_itself() => _reachability.LinkTo(Self, 0).IsMutual.Should().BeTrue();

    [Fact]
    public void A_peer_never_heard_is_not_reachable() => _reachability.LinkTo(Peer, 0).IsMutual.Should().BeFalse();

    [Fact]
    public void A_link_counts_when_both_hear_each_other()
    {
        long now = Hear(hearsUs: true, count: 10);

        _reachability.LinkTo(Peer, now).IsMutual.Should().BeTrue();
    }

    [Fact]
    public void A_link_on_which_only_we_hear_does_not_count_but_we_say_that_we_hear()
    {
        long now = Hear(hearsUs: false, count: 10);

        _reachability.LinkTo(Peer, now).Should().Be(new LinkState(Liveness.Up, HeardByPeer: false));
        _reachability.Hears(Peer, now).Should().BeTrue();
    }

    [Fact]
    public void A_claim_grows_old()
    {
        long now = Hear(hearsUs: true, count: 10);

        _reachability.LinkTo(Peer, now + 501).HeardByPeer.Should().BeFalse();
    }

    [Fact]
    public void A_restarted_peer_begins_anew()
    {
        long now = Hear(hearsUs: true, count: 10) + 60_000;
        _reachability.LinkTo(Peer, now).Hearing.Should().Be(Liveness.Down);

        _reachability.OnHeartbeat(Peer, bootId: 2, senderHearsUs: false, now);

        _reachability.LinkTo(Peer, now).Should().Be(new LinkState(Liveness.Up, HeardByPeer: false));
    }

    private long Hear(bool hearsUs, int count)
    {
        long now = 0;
        for (int i = 0; i < count; i++)
        {
            now += 100;
            _reachability.OnHeartbeat(Peer, bootId: 1, hearsUs, now);
        }

        return now;
    }
}

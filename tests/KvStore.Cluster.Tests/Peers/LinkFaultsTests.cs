using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Node.Faults;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

public sealed class LinkFaultsTests
{
    private static readonly NodeId Peer = new(2);

    [Fact]
    public void The_same_seed_draws_the_same_fates()
    {
        PeerFault fault = new() { Drop = 0.3, Duplicate = 0.2, Reorder = 0.2 };
        LinkFaults one = new(seed: 5);
        LinkFaults other = new(seed: 5);
        one.Set(Peer, fault);
        other.Set(Peer, fault);

        FrameFate[] fates = [.. Enumerable.Range(0, 1_000).Select(_ => one.Draw(Peer))];

        fates.Should().Equal(Enumerable.Range(0, 1_000).Select(_ => other.Draw(Peer)));
        fates.Count(fate => fate == FrameFate.Drop).Should().BeInRange(240, 360);
    }

    [Fact]
    public void Setting_one_link_leaves_the_others_as_they_are()
    {
        LinkFaults faults = new(seed: 1);
        faults.Set(Peer, PeerFault.Cut);

        faults.Set(new NodeId(3), new PeerFault { DelayMs = 5 });

        faults.List().Select(link => link.Key.Value).Should().Equal(2u, 3u);
        faults.Set(Peer, PeerFault.None);
        faults.List().Should().ContainSingle();
        faults.Draw(Peer).Should().Be(FrameFate.Deliver);
    }

    [Fact]
    public void A_number_out_of_range_changes_nothing()
    {
        LinkFaults faults = new(seed: 1);

        FluentActions.Invoking(() => faults.Set([new(Peer, PeerFault.Cut), new(new NodeId(3), new PeerFault { Drop = double.NaN })])).Should().Throw<ArgumentException>();

        faults.List().Should().BeEmpty();
    }
}

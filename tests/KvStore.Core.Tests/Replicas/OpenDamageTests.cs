using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Storage;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>What a node of an open shard does whose own files are damaged, and what the others do.</summary>
public class OpenDamageTests
{
    [Fact]
    public void Scenario_27_open_a_flipped_bit_in_the_stamp_keeps_the_node_down_and_the_others_serve()
    {
        const string Stamp = "node.stamp";
        ReplicaCluster cluster = new(3, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.Put(cluster[3], "k", "before").Outcome.Should().Be(Outcome.Done);
        cluster[3].LosePower();
        cluster[3].FlipBit(Stamp, offset: 12, bit: 2);

        cluster[3].Invoking(node => node.Start()).Should().Throw<StorageRefusedException>();
        cluster[3].IsUp.Should().BeFalse();
        cluster.Put(cluster[1], "k", "meanwhile").Outcome.Should().Be(Outcome.Done);
        TextOf(cluster.Get(cluster[2], "k", ReadLevel.Quorum)).Should().Be("meanwhile");

        cluster[3].FlipBit(Stamp, offset: 12, bit: 2);
        cluster[3].Start();
        cluster.TickUntil(() => cluster[3].Status.Clock == cluster[1].Status.Clock, "the repaired one has caught up");
        TextOf(cluster.Get(cluster[3], "k", ReadLevel.Eventual)).Should().Be("meanwhile");
        (cluster.Get(cluster[1], "k", ReadLevel.Quorum).Siblings?.Count ?? 1).Should().Be(1);
    }
}

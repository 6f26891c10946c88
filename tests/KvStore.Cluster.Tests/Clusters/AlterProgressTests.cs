using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.Node.Catalog;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>What is said of a shard that is being altered, from what its replicas say. No node is started.</summary>
public class AlterProgressTests
{
    [Fact]
    public void A_shard_is_done_only_when_its_leader_can_tell_that_it_stays_as_the_keyspace_is_set()
    {
        Progress(switching: false).Done.Should().BeTrue();
        Progress(switching: true).Done.Should().BeFalse("the leader's log may hold another change");
        Progress(switching: false, wanted: PartitionPolicy.Ap).Done.Should().BeFalse();
    }

    [Fact]
    public void The_leader_of_the_highest_term_says_so()
    {
        ShardProgress progress = Progress(switching: true, deposed: new ReplicaStatus { Role = "leader", Term = 6, Epoch = 2, Policy = PartitionPolicy.Cp, Replication = Replication.Sync });
        (progress.Leader, progress.Done).Should().Be((1u, false));
        progress.Unbound.Should().Equal(2u);
    }

    private static ShardProgress Progress(bool switching, PartitionPolicy wanted = PartitionPolicy.Cp, ReplicaStatus? deposed = null)
    {
        var keyspace = new Keyspace { Policy = wanted, Replication = Replication.Sync };
        var shard = new Shard { Replicas = { new Replica { Node = 1 } } };
        var replicas = new Dictionary<(uint Node, uint Shard), ReplicaStatus>
        {
            [(1, 0)] = new() { Role = "leader", Term = 7, Epoch = 3, Policy = PartitionPolicy.Cp, Replication = Replication.Sync, Switching = switching },
        };
        if (deposed is not null)
        {
            shard.Replicas.Add(new Replica { Node = 2 });
            replicas[(2, 0)] = deposed;
        }

        return AlterProgressReader.Judge(keyspace, shard, 0, replicas);
    }
}

using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Replicas of an open shard that has gone quiet compare what their data comes to.</summary>
public class DigestScrubTests
{
    private static readonly uint[] Nodes = [1, 2, 3];

    /// <summary>All keys that the tests use.</summary>
    private static readonly string[] Written =
        [.. Enumerable.Range(0, 10).Select(i => $"k{i}"), .. Nodes.Select(node => $"soon {node}"), .. Nodes.Select(node => $"later {node}"), "count", "brief count", "sealed"];

    [Fact]
    public void Healthy_replicas_compare_and_find_nothing_also_after_restarts_and_deletes()
    {
        ReplicaCluster cluster = Filled();
        cluster.Submit(cluster[3], new ClientOperation { Kind = OperationKind.Delete, Key = "k7"u8.ToArray() });
        cluster.TickUntil(() => Nodes.All(node => cluster[node].Status.Open!.Comparisons > 0), "all have compared");
        Restart(cluster, 2);
        cluster.TickUntil(() => cluster[2].Status.Open!.Comparisons > 0, "it has compared again");

        Nodes.Should().OnlyContain(node => cluster[node].Status.Open!.DifferentBuckets == 0);
        Nodes.Select(node => cluster[node].Replica.CaptureDigests()).Distinct().Should().HaveCount(1);
        Nodes.Should().OnlyContain(node => cluster[node].Status.Open!.IndexedDots == 0 && cluster[node].Status.Open!.UncoveredContexts == 0);
    }

    [Fact]
    public void A_value_that_has_changed_on_one_disk_is_found_and_every_replica_says_so()
    {
        ReplicaCluster cluster = Filled();
        Damage(cluster[2], "k3"u8);
        Restart(cluster, 2);

        cluster.TickUntil(() => cluster[2].Status.Open!.DifferentBuckets == 1 && cluster[1].Status.Open!.DifferentBuckets == 1, "the difference is seen, in one bucket");
        cluster[2].Replica.DigestDifferencesFound.Should().BePositive();
        cluster[2].Status.Clock.Should().Be(cluster[1].Status.Clock, "the clocks have nothing to say about it");
        cluster[3].Replica.CaptureDigests().Should().Be(cluster[1].Replica.CaptureDigests());
    }

    [Fact]
    public void A_key_that_is_gone_from_one_disk_is_found()
    {
        ReplicaCluster cluster = Filled();
        cluster[3].View.Remove(RecordSpace.Data, "k5"u8);
        cluster[3].View.RequestFlush();
        cluster.Put(cluster[1], "more", "1");
        Restart(cluster, 3);

        cluster.TickUntil(() => Nodes.All(node => cluster[node].Status.Open!.DifferentBuckets == 1), "every replica says so");
    }

    [Fact]
    public void Digests_follow_counters_and_expiries_as_they_happen()
    {
        ReplicaCluster cluster = Filled();
        for (uint node = 1; node <= 3; node++)
        {
            cluster.Put(cluster[node], $"soon {node}", "v", ttlMs: 1_000);
            cluster.Put(cluster[node], $"later {node}", "v", ttlMs: 3_000);
            cluster.Increment(cluster[node], "count", node);
            cluster.Increment(cluster[node], "brief count", node, ttlMs: 2_000);
        }

        cluster.Tick(5);
        RequireTrueDigests(cluster);
        BucketDigests before = cluster[1].Replica.CaptureDigests()!;
        foreach (int left in (int[])[15, 14, 11])
        {
            cluster.TickUntil(() => Nodes.All(node => Held(cluster[node]) == left && IsAtRest(cluster[node])), $"{left} keys are left");
            RequireTrueDigests(cluster);
        }

        cluster[1].Replica.CaptureDigests().Should().NotBe(before);
        Restart(cluster, 2);
        cluster.TickUntil(() => Nodes.All(node => IsAtRest(cluster[node])), "all records are counted anew");
        RequireTrueDigests(cluster);
    }

    private static bool IsAtRest(ReplicaMachine machine) => machine.Status.Open is { HasDigests: true, MayStrip: false, UncoveredContexts: 0, IndexedDots: 0 };

    private static int Held(ReplicaMachine machine) => Written.Count(key => machine.View.Find(RecordSpace.Data, Key.FromText(key).Span, out _) == RecordLookup.Found);

    /// <summary>Each replica's digests are what its records come to, and those of the others.</summary>
    private static void RequireTrueDigests(ReplicaCluster cluster)
    {
        foreach (uint node in Nodes)
        {
            BucketDigests counted = new();
            foreach (Key key in Written.Select(Key.FromText))
            {
                if (cluster[node].View.Find(RecordSpace.Data, key.Span, out ReadOnlyMemory<byte> record) == RecordLookup.Found)
                {
                    counted.Add(key, DottedObject.Decode(record));
                }
            }

            cluster[node].Replica.CaptureDigests().Should().Be(counted).And.Be(cluster[1].Replica.CaptureDigests());
        }
    }

    private static void Damage(ReplicaMachine machine, ReadOnlySpan<byte> key)
    {
        machine.View.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record).Should().Be(RecordLookup.Found);
        byte[] changed = record.ToArray();

        // The last byte says that no context is left; the one before it ends the value.
        changed[^1].Should().Be(0);
        changed[^2] ^= 1;
        machine.View.Put(RecordSpace.Data, key, changed);
    }

    private static void Restart(ReplicaCluster cluster, uint node)
    {
        cluster.Put(cluster[1], "sealed", $"by {node}");
        cluster.Tick(60);
        cluster[node].View.RequestFlush();
        cluster.Settle();
        cluster[node].LosePower();
        cluster[node].Start();
        cluster.Settle();
    }

    private static ReplicaCluster Filled()
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap);
        cluster.Elect(1);
        for (int i = 0; i < 10; i++)
        {
            cluster.Put(cluster[(uint)(1 + (i % 3))], $"k{i}", $"value {i}").Outcome.Should().Be(Outcome.Done);
        }

        cluster.Tick(100);
        return cluster;
    }
}

using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Keyspaces that are altered while they are in use: on real nodes, with cuts and kills at the wrong moments.</summary>
[Collection(ClusterCollection.Name)]
public sealed class AlterTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task A_client_that_writes_all_the_time_sees_no_failure_while_its_keyspace_goes_from_cp_to_ap_and_back()
    {
        string name = await CreateAsync("live", PartitionPolicy.Cp, shards: 2);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        using var stop = new CancellationTokenSource();
        var written = new List<string>();
        Task writing = WriteAsync(keyspace, written, stop.Token);

        await AlterAsync(name, new KvKeyspaceChange { Policy = PartitionPolicy.Ap });
        int whenOpen = written.Count;
        await _cluster.WaitUntilAsync("some writes in the open regime", () => Task.FromResult(written.Count > whenOpen + 20));
        KeyspaceProgress last = await AlterAsync(name, new KvKeyspaceChange { Policy = PartitionPolicy.Cp });
        int whenOrdered = written.Count;
        await _cluster.WaitUntilAsync("some writes in the ordered regime", () => Task.FromResult(written.Count > whenOrdered + 20));
        await stop.CancelAsync();
        await writing;

        last.Shards.Should().OnlyContain(shard => shard.Unbound.Count == 0 && shard.Epoch == 4 && shard.Regime == Regime.Ordered);
        output.WriteLine($"{written.Count} writes; pauses of {string.Join(", ", last.Shards.Select(shard => shard.PauseMs))} ms");
        foreach (string key in written)
        {
            (await keyspace.GetAsync<string>(key, new KvReadOptions { Level = KvReadLevel.Linearizable }))!.Value.Should().Be("v");
        }
    }

    [Fact]
    public async Task Settings_that_are_unknown_contradictory_or_nothing_are_refused_and_repeating_changes_nothing()
    {
        string name = await CreateAsync("settings", PartitionPolicy.Cp, shards: 1);
        IKvAdmin admin = _cluster.Client.Admin;
        KvException nothing = await Failure(() => admin.AlterKeyspaceAsync(name, new KvKeyspaceChange()));
        nothing.Message.Should().Contain("Nothing is to be altered");
        KvException unknown = await Failure(() => admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { Policy = (PartitionPolicy)9 }));
        (unknown.Code, unknown.OutcomeUnknown).Should().Be((KvCode.InvalidArgument, false));
        KvException missing = await Failure(() => admin.AlterKeyspaceAsync("unheard-of", new KvKeyspaceChange { Policy = PartitionPolicy.Ap }));
        missing.Code.Should().Be(KvCode.UnknownKeyspace);
        KvException system = await Failure(() => admin.AlterKeyspaceAsync("_system", new KvKeyspaceChange { Policy = PartitionPolicy.Ap }));
        system.Code.Should().Be(KvCode.InvalidArgument);

        AlterKeyspaceResponse first = await admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { Replication = Replication.Async, MaxLagBytes = 4_096 });
        AlterKeyspaceResponse again = await admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { Replication = Replication.Async, MaxLagBytes = 4_096 });
        (first.Changed, again.Changed).Should().Be((true, false));
        again.Keyspace.Should().Match<Keyspace>(keyspace => keyspace.Replication == Replication.Async && keyspace.MaxLag.Bytes == 4_096 && keyspace.Alterations == 1);
        (await admin.WaitForAlterationAsync(name, Patience)).Shards.Should().OnlyContain(shard => shard.Done && shard.Replication == Replication.Async && shard.Epoch == 2);
    }

    [Fact]
    public async Task After_how_long_an_adaptive_keyspace_serves_provisionally_is_altered_and_the_nodes_go_by_it()
    {
        string name = await CreateAsync("patient", PartitionPolicy.Cp, shards: 1);
        IKvAdmin admin = _cluster.Client.Admin;
        var hour = new KvKeyspaceChange { ProvisionalAfter = TimeSpan.FromHours(1) };
        (await Failure(() => admin.AlterKeyspaceAsync(name, hour))).Message.Should().Contain("Only an adaptive keyspace");
        await AlterAsync(name, hour with { Policy = PartitionPolicy.Adaptive });
        AlterKeyspaceResponse again = await admin.AlterKeyspaceAsync(name, hour);
        (again.Changed, again.Keyspace.ProvisionalAfterMs).Should().Be((false, 3_600_000u));
        AlterKeyspaceResponse shorter = await admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { ProvisionalAfter = TimeSpan.FromSeconds(1) });
        (shorter.Changed, shorter.Keyspace.ProvisionalAfterMs, shorter.Keyspace.Policy).Should().Be((true, 1_000u, PartitionPolicy.Adaptive));

        uint leader = await _cluster.LeaderOfAsync(name);
        uint island = Others(leader)[0];
        ulong revision = (await admin.NodeStatusAsync(leader)).TopologyRevision;
        await _cluster.WaitUntilAsync($"node {island} has read it", async () => (await admin.NodeStatusAsync(island)).TopologyRevision >= revision);
        await _cluster.WaitUntilCaughtUpAsync(name);
        await _cluster.IsolateAsync(island);
        await _cluster.WaitUntilAsync($"node {island}, which had to wait for an hour, serves provisionally", async () => (await _cluster.ClientOf(island).GetAsync(name, "?")) is { IsDone: true, Regime: Regime.Provisional });
        await _cluster.HealAsync();

        await AlterAsync(name, new KvKeyspaceChange { Policy = PartitionPolicy.Cp });
        await AlterAsync(name, new KvKeyspaceChange { Policy = PartitionPolicy.Adaptive });
        (await admin.DescribeKeyspaceAsync(name)).Keyspace.ProvisionalAfterMs.Should().Be(2_000, "ceasing to be adaptive forgets it");
    }

    [Fact]
    public async Task Scenario_59_an_alteration_to_ap_during_a_partition_loses_no_acknowledged_write_and_names_who_did_not_hear()
    {
        string name = await CreateAsync("fenced", PartitionPolicy.Cp, shards: 1);
        uint island = await _cluster.LeaderOfAsync(name);
        uint other = Others(island)[0];
        (await _cluster.ClientOf(island).PutAsync(name, "k", "ordered")).IsDone.Should().BeTrue();
        await _cluster.IsolateAsync(island);
        await _cluster.WaitUntilAsync("the cut-off leader refuses", async () => (await _cluster.ClientOf(island).PutAsync(name, "k", "lost?")).Code == Code.NoQuorum);

        // The majority decides; the client may ask any of its nodes.
        await using IKvClient majority = KvClient.Create($"http://{_cluster.Node(other).Address}");
        await _cluster.WaitUntilAsync("the majority leads", async () => (await _cluster.ClientOf(other).PutAsync(name, "warm", "up")).IsDone);
        await AlterByMajorityAsync(majority, name, PartitionPolicy.Ap);
        KeyspaceProgress progress = await majority.Admin.WaitForAlterationAsync(name, Patience);
        progress.Shards[0].Should().Match<ShardProgress>(shard => shard.Done && shard.Regime == Regime.Open && shard.Epoch == 2, "a node that is cut off must not tell how far the others are");
        progress.Shards[0].Unbound.Should().Equal(island);
        (await _cluster.ClientOf(island).PutAsync(name, "k", "still cp")).Code.Should().Be(Code.NoQuorum, "it has not heard, and serves as it was set before");

        KvNodeAnswer seen = await _cluster.ClientOf(other).GetAsync(name, "k", ReadLevel.Quorum);
        seen.Values.Should().Equal("ordered");
        (await _cluster.ClientOf(other).PutAsync(name, "k", "open", seen.Version)).IsDone.Should().BeTrue();
        await _cluster.HealAsync();
        await _cluster.WaitUntilAsync("the former leader works as an open replica", async () => (await _cluster.ClientOf(island).GetAsync(name, "k", ReadLevel.Eventual)).Values is ["open"]
            && (await majority.Admin.AlterProgressAsync(name)).Shards[0].Unbound.Count == 0);
    }

    [Fact]
    public async Task Scenario_60_an_alteration_to_cp_keeps_what_both_sides_of_a_partition_wrote()
    {
        string name = await CreateAsync("kept", PartitionPolicy.Ap, shards: 1);
        await _cluster.IsolateAsync(3);
        await _cluster.WaitUntilAsync("node 3 acknowledges alone", async () => (await _cluster.ClientOf(3).PutAsync(name, "k", "island")).Acknowledgements == 1);
        (await _cluster.ClientOf(1).PutAsync(name, "k", "mainland")).IsDone.Should().BeTrue();
        await _cluster.HealAsync();
        await _cluster.WaitUntilWholeAsync();

        await AlterAsync(name, new KvKeyspaceChange { Policy = PartitionPolicy.Cp });
        foreach (uint node in (uint[])[1, 2, 3])
        {
            KvNodeAnswer answer = await ReadAsync(node, name, "k");
            answer.Values.Should().BeEquivalentTo(["island", "mainland"], $"node {node}: {answer.Reason}");
        }

        KvNodeAnswer both = await ReadAsync(1, name, "k");
        (await _cluster.ClientOf(1).TryPutAsync(name, "k", "settled", both.Version)).IsDone.Should().BeTrue("in cp a condition on both settles it");
        (await ReadAsync(2, name, "k")).Values.Should().Equal("settled");
    }

    [Fact]
    public async Task Scenario_61_leaders_that_die_during_changes_leave_one_sequence_of_epochs()
    {
        const int Rounds = 2;
        string name = await CreateAsync("killed", PartitionPolicy.Cp, shards: 1);
        ulong epoch = 1;
        for (int round = 0; round < Rounds; round++)
        {
            PartitionPolicy policy = round % 2 == 0 ? PartitionPolicy.Ap : PartitionPolicy.Cp;
            uint leader = await _cluster.LeaderOfAsync(name);
            uint survivor = Others(leader)[0];

            // Right after a change a write may be refused as retryable, by a node that is still becoming what the keyspace is now.
            await _cluster.WaitUntilAsync("a write is taken", async () => (await _cluster.ClientOf(survivor).PutAsync(name, $"k{round}", "v")).IsDone);
            await using IKvClient client = KvClient.Create($"http://{_cluster.Node(survivor).Address}");
            await AlterByMajorityAsync(client, name, policy);

            // Once when it was only just decided, once when the first entry of the change is there.
            if (round == 1)
            {
                await _cluster.WaitUntilAsync("the change has begun", async () => (await client.Admin.AlterProgressAsync(name)).Shards[0].Epoch > epoch);
            }

            await _cluster.KillAsync(leader);
            await AlterByMajorityAsync(client, name, policy);
            KeyspaceProgress progress = await client.Admin.WaitForAlterationAsync(name, Patience);
            progress.Done.Should().BeTrue(progress.ToString());
            ulong expected = epoch + (policy == PartitionPolicy.Ap ? 1UL : 2UL);
            progress.Shards[0].Epoch.Should().Be(expected, "one epoch to open, two to close and order, whoever led");
            epoch = expected;
            await _cluster.RestartAsync(leader);
            await _cluster.WaitUntilWholeAsync();
            await _cluster.WaitUntilAsync("the killed node hears of the change", async () => (await client.Admin.AlterProgressAsync(name)).Shards[0].Unbound.Count == 0);
        }

        for (int round = 0; round < Rounds; round++)
        {
            (await ReadAsync(1, name, $"k{round}")).Value.Should().Be("v");
        }
    }

    [Fact]
    public async Task Scenario_63_a_replica_that_missed_two_changes_brings_all_its_own_writes_back()
    {
        string name = await CreateAsync("late", PartitionPolicy.Ap, shards: 1);
        await _cluster.IsolateAsync(3);
        await _cluster.WaitUntilAsync("node 3 acknowledges alone", async () => (await _cluster.ClientOf(3).PutAsync(name, "island-0", "v0")).Acknowledgements == 1);
        await using IKvClient majority = KvClient.Create($"http://{_cluster.Node(1).Address}");
        foreach ((PartitionPolicy policy, int round) in ((PartitionPolicy, int)[])[(PartitionPolicy.Cp, 1), (PartitionPolicy.Ap, 2)])
        {
            await AlterByMajorityAsync(majority, name, policy);
            KeyspaceProgress progress = await majority.Admin.WaitForAlterationAsync(name, Patience);
            progress.Done.Should().BeTrue(progress.ToString());
            progress.Shards[0].Unbound.Should().Equal(3U);

            // A node may take its peer for dead for a moment, and refuse.
            await _cluster.WaitUntilAsync("the island takes a write", async () => (await _cluster.ClientOf(3).PutAsync(name, $"island-{round}", $"v{round}")).IsDone);
            await _cluster.WaitUntilAsync("the mainland takes a write", async () => (await _cluster.ClientOf(1).PutAsync(name, $"mainland-{round}", $"v{round}")).IsDone);
        }

        await _cluster.HealAsync();
        await _cluster.WaitUntilAsync("every node reads what each side wrote", async () =>
        {
            foreach (uint node in (uint[])[1, 2, 3])
            {
                foreach ((string key, string value) in ((string, string)[])[("island-0", "v0"), ("island-1", "v1"), ("island-2", "v2"), ("mainland-1", "v1"), ("mainland-2", "v2")])
                {
                    if ((await _cluster.ClientOf(node).GetAsync(name, key, ReadLevel.Eventual)).Value != value)
                    {
                        return false;
                    }
                }
            }

            return true;
        });
    }

    /// <summary>A linearizable read at one node, which may have to hear of its leader first.</summary>
    private async Task<KvNodeAnswer> ReadAsync(uint node, string name, string key)
    {
        KvNodeAnswer? answer = null;
        await _cluster.WaitUntilAsync($"node {node} answers a linearizable read", async () => (answer = await _cluster.ClientOf(node).GetAsync(name, key, ReadLevel.Linearizable)).IsDone);
        return answer!;
    }

    private async Task<string> CreateAsync(string prefix, PartitionPolicy policy, int shards)
    {
        string name = nodes.NewName(prefix);
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards);
        return name;
    }

    private async Task<KeyspaceProgress> AlterAsync(string name, KvKeyspaceChange change)
    {
        await _cluster.Client.Admin.AlterKeyspaceAsync(name, change);
        KeyspaceProgress progress = await _cluster.Client.Admin.WaitForAlterationAsync(name, Patience);
        progress.Done.Should().BeTrue(progress.ToString());
        return progress;
    }

    /// <summary>The system shard may be electing a leader itself.</summary>
    private Task AlterByMajorityAsync(IKvClient client, string name, PartitionPolicy policy) => _cluster.WaitUntilAsync("the cluster decides", async () =>
    {
        try
        {
            await client.Admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { Policy = policy });
            return true;
        }
        catch (KvException failure) when (failure.Code is not (KvCode.InvalidArgument or KvCode.UnknownKeyspace))
        {
            return false;
        }
    });

    private static uint[] Others(uint node) => [.. ((uint[])[1, 2, 3]).Where(other => other != node)];

    private static async Task<KvException> Failure(Func<ValueTask<AlterKeyspaceResponse>> call) => (await FluentActions.Awaiting(() => call().AsTask()).Should().ThrowAsync<KvException>()).Which;

    private static async Task WriteAsync(IKvKeyspace keyspace, List<string> written, CancellationToken stop)
    {
        for (int number = 0; !stop.IsCancellationRequested; number++)
        {
            KvWriteResult result = await keyspace.PutAsync($"key-{number}", "v", cancellationToken: CancellationToken.None);
            result.Outcome.Should().Be(KvOutcome.Done);
            written.Add($"key-{number}");
        }
    }
}

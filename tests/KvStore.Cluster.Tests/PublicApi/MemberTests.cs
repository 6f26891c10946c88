using System.Text;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.PublicApi;

/// <summary>Members of the client that no other test has a reason to use.</summary>
[Collection(ClusterCollection.Name)]
public sealed class MemberTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Keys_of_text_and_of_bytes_are_the_same_keys_and_have_an_order()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        byte[] bytes = "key"u8.ToArray();
        ReadOnlyMemory<byte> memory = bytes;
        KvKey text = "key";
        (text == bytes, text == memory, text != "other", text == new KvKey(memory), text.Equals((KvKey)bytes)).Should().Be((true, true, true, true, true));
        text.CompareTo("kez").Should().BeNegative();
        text.GetHashCode().Should().Be(((KvKey)bytes).GetHashCode());
        text.Bytes.ToArray().Should().Equal(bytes);

        await keyspace.PutAsync(bytes, "v");
        (await keyspace.GetAsync<string>(memory))!.Key.Should().Be(text);
        (await keyspace.GetAsync<string>(text))!.Value.Should().Be("v");
    }

    [Fact]
    public async Task A_version_that_travelled_as_bytes_or_text_is_the_same_version()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        keyspace.Name.Should().StartWith("members");
        KvWriteResult put = await keyspace.PutAsync("k", "v");
        var copied = new KvVersion(put.Version.Bytes.ToArray());
        (copied == put.Version, copied != KvVersion.Absent, copied.IsAbsent, KvVersion.Parse(put.Version.ToString()).Equals(copied)).Should().Be((true, true, false, true));

        (await keyspace.TryDeleteAsync("k", copied)).IsDone.Should().BeTrue();
        (await keyspace.TryDeleteAsync("k", copied)).Code.Should().Be(KvCode.ConditionFailed);
    }

    [Fact]
    public async Task A_range_says_what_it_covers_and_a_scan_takes_its_options()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        KvSession session = _cluster.Client.CreateSession();
        foreach (string key in (string[])["a/1", "a/2", "a/3", "b/1"])
        {
            await keyspace.PutAsync(key, "v", new KvWriteOptions { Session = session });
        }

        KvRange range = KvRange.Prefix("a/"u8.ToArray()).Behind("a/1");
        Encoding.UTF8.GetString(range.StartsWith.Span).Should().Be("a/");
        Encoding.UTF8.GetString(range.After.Span).Should().Be("a/1");
        foreach (KvScanOptions options in (KvScanOptions[])
                 [
                     new() { Level = KvReadLevel.Linearizable, PageSize = 1 },
                     new() { Session = session, Timeout = TimeSpan.FromSeconds(30) },
                     new() { MaxStaleness = TimeSpan.FromMinutes(1) },
                 ])
        {
            List<string> keys = [];
            await foreach (KvEntry<string> entry in keyspace.ScanAsync<string>(range, options))
            {
                keys.Add(entry.Key.ToString());
            }

            keys.Should().Equal("a/2", "a/3");
        }
    }

    [Fact]
    public async Task An_answer_says_where_it_comes_from_and_what_it_is_worth()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        KvWriteResult put = await keyspace.PutAsync("k", "v", new KvWriteOptions { RequireStrong = true });
        (put.Outcome, put.Regime, put.Provisional, put.Degraded, put.Epoch, put.Reason).Should().Be((KvOutcome.Done, KvRegime.Ordered, false, false, 1UL, (string?)null));
        put.EarlierAttemptUnanswered.Should().BeFalse();
        put.Acknowledgements.Should().BeGreaterThanOrEqualTo(2);
        put.Node.Should().BeInRange(1, 3);

        KvEntry<string> entry = (await keyspace.GetAsync<string>("k", new KvReadOptions { RequireStrong = true, ReadFrom = KvReadFrom.Nearest }))!;
        (entry.Regime, entry.Provisional, entry.Degraded, entry.Epoch, entry.SiblingCount, entry.HiddenLosers, entry.Staleness).Should().Be((KvRegime.Ordered, false, false, 1UL, 1, 0, TimeSpan.Zero));
        (entry.Resolved, entry.WrittenBack, entry.ExpiresIn).Should().Be((false, (KvWriteResult?)null, (TimeSpan?)null));
        entry.Acknowledgements.Should().BeGreaterThanOrEqualTo(1);
        entry.Node.Should().BeInRange(1, 3);
        entry.Version.Should().Be(put.Version);
    }

    [Fact]
    public async Task An_ap_keyspace_refuses_what_must_be_strong()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Ap);
        Func<Task> put = async () => await keyspace.PutAsync("k", "v", new KvWriteOptions { RequireStrong = true });
        (await put.Should().ThrowAsync<KvException>()).Which.OutcomeUnknown.Should().BeFalse();
        Func<Task> get = async () => await keyspace.GetAsync<string>("k", new KvReadOptions { RequireStrong = true });
        await get.Should().ThrowAsync<KvException>();
    }

    [Fact]
    public async Task A_transaction_tells_what_each_operation_came_to()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        await keyspace.PutAsync("{t}/old", "1");
        int inBranch = 0;
        KvTxn txn = new KvTxn().IfExists("{t}/old").IfAbsent("{t}/new").IfValue("{t}/old", "1").Then(then =>
        {
            then.Put("{t}/new", "2", ttl: TimeSpan.FromHours(1)).Get("{t}/new").Get("{t}/nothing").Delete("{t}/old");
            inBranch = then.Count;
        });
        (txn.Count, inBranch).Should().Be((7, 4));

        KvTxnResult result = await keyspace.TransactAsync(txn);
        (result.IsDone, result.Succeeded, result.Outcome, result.Branch, result.Code, result.Reason, result.Regime, result.Epoch)
            .Should().Be((true, true, KvOutcome.Done, KvTxnBranchKind.Then, KvCode.None, (string?)null, KvRegime.Ordered, 1UL));
        result.Acknowledgements.Should().BeGreaterThanOrEqualTo(2);
        result.Node.Should().BeInRange(1, 3);
        result.Results.Select(each => (each.Kind, each.Key.ToString(), each.Found)).Should().Equal(
            (KvTxnOperationKind.Put, "{t}/new", false), (KvTxnOperationKind.Get, "{t}/new", true), (KvTxnOperationKind.Get, "{t}/nothing", false), (KvTxnOperationKind.Delete, "{t}/old", false));
        KvTxnOperationResult read = result.Results[1];
        Encoding.UTF8.GetString(read.Value.Span).Should().Be("2");
        (read.Version.IsAbsent, read.SiblingCount).Should().Be((false, 0), "only adaptive keyspaces have siblings here");
        (result.Get<string>(1)!.Value, result.Get<string>("{t}/nothing")).Should().Be(("2", (KvEntry<string>?)null));
        KvTxnResult other = await keyspace.TransactAsync(new KvTxn().IfExists("{t}/old").Else(branch => branch.Get("{t}/new")));
        (other.Branch, other.Succeeded).Should().Be((KvTxnBranchKind.Else, false));
        other.Results[0].ExpiresIn.Should().BePositive().And.BeLessThanOrEqualTo(TimeSpan.FromHours(1));
        other.Results[0].Version.Should().Be(result.Version);
    }

    [Fact]
    public async Task A_watch_of_one_key_tells_all_about_a_change()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        await keyspace.PutAsync("k", "1", new KvWriteOptions { Ttl = TimeSpan.FromHours(1) });
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await foreach (KvChange<string> change in keyspace.WatchAsync<string>((KvKey)"k", new KvWatchOptions { InitialValues = true, Timeout = TimeSpan.FromSeconds(20) }, limit.Token))
        {
            if (change.Kind == KvChangeKind.CaughtUp)
            {
                (change.Token is null, change.Reason).Should().Be((false, ""));
                break;
            }

            (change.Kind, change.Key, change.Value, change.Regime == KvRegime.Open, change.Epoch <= 1, change.Siblings.Count).Should().Be((KvChangeKind.Current, (KvKey)"k", "1", false, true, 0));
            (change.Version.IsAbsent, change.Node is >= 1 and <= 3, change.Shard is >= 0 and < 4).Should().Be((false, true, true));
            change.ExpiresIn.Should().BePositive();
            change.Timestamp.Should().BeCloseTo(DateTimeOffset.UtcNow, TimeSpan.FromMinutes(5));
        }
    }

    [Fact]
    public async Task The_topology_names_members_keyspaces_and_shards()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        await keyspace.PutAsync("k", "v");
        await _cluster.WaitUntilAsync("the client knows the leaders", () => Task.FromResult(_cluster.Client.Topology?.Keyspaces.SingleOrDefault(each => each.Name == keyspace.Name)?.Shards.All(shard => shard.LeaderHint > 0) ?? false));
        KvTopology topology = await _cluster.Client.Admin.GetTopologyAsync();
        (topology.ClusterId.Length > 0, topology.Node is >= 1 and <= 3, topology.Revision > 0).Should().Be((true, true, true));
        topology.Members.Select(member => (member.Node, member.Address, member.Weight > 0, member.Generation)).Should().BeEquivalentTo(_cluster.Nodes.Select(node => (node.Id, node.Address, true, 0U)));
        KvKeyspaceInfo info = topology.Keyspaces.Single(each => each.Name == keyspace.Name);
        (info.Id > 0, info.Policy, info.Replication, info.Epoch).Should().Be((true, PartitionPolicy.Cp, Replication.Sync, 1UL));
        info.Shards.Should().OnlyContain(shard => shard.Nodes.Count == 3 && shard.LeaderHint >= 1 && shard.LeaderHint <= 3 && shard.Epoch <= 1 && (shard.Regime == KvRegime.Ordered || shard.Epoch == 0));
    }

    [Fact]
    public async Task Links_are_cut_and_healed_and_a_refusal_names_who_is_missing()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        IKvAdmin admin = _cluster.Client.Admin;
        (await admin.ListKeyspacesAsync()).Select(each => each.Name).Should().Contain(keyspace.Name);
        (await admin.SetFaultsAsync(1, [new LinkFault { Peer = 2, CutOutbound = true, CutInbound = true }])).Select(link => link.Peer).Should().Equal(2U);
        (await admin.ListFaultsAsync(1)).Should().ContainSingle().Which.CutInbound.Should().BeTrue();
        (await admin.HealFaultsAsync(1)).Should().BeEmpty();

        await _cluster.PartitionAsync([1], [2], [3]);
        KvException? refused = null;
        await _cluster.WaitUntilAsync("it is refused for lack of a quorum", async () =>
        {
            try
            {
                await keyspace.PutAsync("k", "v", new KvWriteOptions { RetryNoQuorumUntilDeadline = false });
            }
            catch (KvException failure)
            {
                refused = failure;
            }

            return refused is { Code: KvCode.NoQuorum, Missing.Count: > 0 };
        });
        refused!.Missing.Should().OnlyContain(missing => missing.Node >= 1 && missing.Node <= 3 && missing.For >= TimeSpan.Zero);
        (refused.Attempts > 0, refused.Node is >= 1 and <= 3).Should().Be((true, true));
        refused.Phase.Should().BeOneOf(KvPhase.Sent, KvPhase.Server);
    }

    [Fact]
    public async Task A_client_works_with_every_setting_and_a_keyspace_with_a_default_time_to_live()
    {
        var options = new KvClientOptions
        {
            DefaultTimeout = TimeSpan.FromSeconds(20),
            AttemptTimeout = TimeSpan.FromSeconds(5),
            ConnectTimeout = TimeSpan.FromSeconds(5),
            RetryNoQuorumUntilDeadline = true,
            MaxInFlightPerNode = 64,
            MaxInFlightBytesPerNode = 2 << 20,
            HedgedReads = false,
            Serializer = new KvSerializer(),
        };
        options.Endpoints.Add(_cluster.Endpoints.First());
        await using KvClient client = KvClient.Create(options);
        string name = nodes.NewName("members");
        await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Shards = 1, Replicas = 3, DefaultTtl = TimeSpan.FromHours(1), DefaultReadLevel = KvReadLevel.Session });
        IKvKeyspace keyspace = client.Keyspace(name, KvKeyspaceOptions.Default);
        await Task.WhenAll(Enumerable.Range(0, 32).Select(i => keyspace.PutAsync($"k{i}", "v").AsTask()));
        (await keyspace.GetAsync<string>("k0", new KvReadOptions { Level = KvReadLevel.Linearizable }))!.ExpiresIn.Should().BePositive().And.BeLessThanOrEqualTo(TimeSpan.FromHours(1));
        (await client.GetTopologyAsync()).Members.Should().HaveCount(3);
    }

    [Fact]
    public async Task A_sibling_says_who_wrote_it_and_when()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Ap);
        await keyspace.PutAsync("k", "1");
        await keyspace.PutInContextAsync("k", "2", KvVersion.Absent);
        KvEntry<string> entry = (await keyspace.GetAsync<string>("k", new KvReadOptions { Level = KvReadLevel.Quorum }))!;
        entry.Siblings.Select(sibling => sibling.Value).Should().BeEquivalentTo("1", "2");
        entry.Siblings.Select(sibling => sibling.Writer).Should().OnlyHaveUniqueItems().And.NotContain("");
        entry.Siblings.Should().OnlyContain(sibling => sibling.Timestamp > DateTimeOffset.UnixEpoch);

        (await keyspace.ResolveAsync(entry, "3")).IsDone.Should().BeTrue();
        (await keyspace.DeleteInContextAsync("k", (await keyspace.GetAsync<string>("k"))!.Version)).IsDone.Should().BeTrue();
        (await keyspace.GetAsync<string>("k")).Should().BeNull();
    }

    [Fact]
    public async Task A_lock_has_the_name_that_was_asked_for()
    {
        await using KvLockHandle held = await new KvLocks(await CreateAsync(PartitionPolicy.Cp)).AcquireAsync("office");
        held.Name.Should().Be("office");
    }

    [Fact]
    public async Task The_lag_of_a_keyspace_in_use_is_altered()
    {
        string name = nodes.NewName("members");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Async);
        AlterKeyspaceResponse altered = await _cluster.Client.Admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { MaxLagBytes = 2 << 20, MaxLagTime = TimeSpan.FromSeconds(2) });
        (altered.Keyspace.MaxLag.Bytes, altered.Keyspace.MaxLag.TimeMs).Should().Be((2U << 20, 2_000U));
    }

    [Fact]
    public async Task What_a_serializer_wrote_is_what_is_stored()
    {
        IKvKeyspace keyspace = await CreateAsync(PartitionPolicy.Cp);
        IKvSerializer serializer = new KvClientOptions().Serializer;
        await keyspace.PutAsync("k", 42);
        KvEntry<byte[]> stored = (await keyspace.GetAsync<byte[]>("k", new KvReadOptions { RetryNoQuorumUntilDeadline = true, Timeout = TimeSpan.FromSeconds(30) }))!;
        stored.Value.Should().Equal(serializer.Serialize(42).ToArray());
        serializer.Deserialize<int>(stored.Value).Should().Be(42);
    }

    private async Task<IKvKeyspace> CreateAsync(PartitionPolicy policy)
    {
        string name = nodes.NewName("members");
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync);
        return _cluster.Client.Keyspace(name);
    }
}

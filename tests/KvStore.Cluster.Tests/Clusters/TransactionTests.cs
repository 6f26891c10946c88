using FluentAssertions;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Transactions on real nodes, through the client and through unary calls.</summary>
[Collection(ClusterCollection.Name)]
public sealed class TransactionTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private const int Accounts = 4;
    private const long Money = Accounts * 100;

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(Replication.Sync)]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public async Task What_is_compared_and_done_is_one_step_and_acknowledged_by_a_majority(Replication replication)
    {
        IKvKeyspace keyspace = await NewKeyspaceAsync(PartitionPolicy.Cp, replication);
        KvTxnResult opened = await keyspace.TransactAsync(new KvTxn()
            .IfAbsent("{b}a").IfAbsent("{b}b")
            .Then(then => then.Put("{b}a", 100L).Put("{b}b", 50L, TimeSpan.FromMinutes(5)).Get("{b}a")));
        opened.Succeeded.Should().BeTrue(opened.Reason);
        opened.Acknowledgements.Should().Be(2);
        opened.Get<long>("{b}a")!.Value.Should().Be(100, "a get sees what stands before it");

        KvEntry<long> a = (await keyspace.GetAsync<long>("{b}a"))!, b = (await keyspace.GetAsync<long>("{b}b"))!;
        a.Version.Should().Be(opened.Version).And.Be(opened.Results[0].Version);
        b.Version.Should().Be(opened.Version);
        b.ExpiresIn.Should().NotBeNull();
        KvTxn move = new KvTxn()
            .IfVersion("{b}a", a.Version).IfValue("{b}b", 50L).IfExists("{b}b")
            .Then(then => then.Put("{b}a", 90L).Put("{b}b", 60L).Delete("{b}none"))
            .Else(other => other.Get("{b}a").Get("{b}none").Get("{b}b"));
        (await keyspace.TransactAsync(move)).Branch.Should().Be(KvTxnBranchKind.Then);

        KvTxnResult again = await keyspace.TransactAsync(move);
        again.Branch.Should().Be(KvTxnBranchKind.Else);
        again.IsDone.Should().BeTrue("that comparisons did not hold is a result");
        again.Get<long>("{b}a")!.Value.Should().Be(90);
        again.Get<string>("{b}none").Should().BeNull();
        again.Get<long>(2)!.Value.Should().Be(60);
        (await keyspace.GetAsync<long>("{b}b"))!.ExpiresIn.Should().BeNull("a put without a time to live makes the value last");
    }

    [Fact]
    public async Task A_key_that_has_expired_is_absent()
    {
        IKvKeyspace keyspace = await NewKeyspaceAsync(PartitionPolicy.Cp, Replication.Sync);
        await keyspace.PutAsync("{e}k", "v", new KvWriteOptions { Ttl = TimeSpan.FromMilliseconds(300) });
        KvTxn take = new KvTxn().IfAbsent("{e}k").Then(then => then.Put("{e}k", "mine"));
        (await keyspace.TransactAsync(take)).Succeeded.Should().BeFalse("it is there");
        await _cluster.WaitUntilAsync("it has expired", async () => (await keyspace.TransactAsync(take)).Succeeded);
    }

    [Fact]
    public async Task Keys_of_several_shards_are_refused_with_what_helps()
    {
        string name = nodes.NewName("shards");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 8);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        var spread = new KvTxn().Then(then =>
        {
            for (int i = 0; i < 40; i++)
            {
                then.Put($"k{i}", "v");
            }
        });
        KvException refused = (await FluentActions.Awaiting(() => keyspace.TransactAsync(spread).AsTask()).Should().ThrowAsync<KvException>()).Which;
        refused.Code.Should().Be(KvCode.InvalidArgument);
        refused.OutcomeUnknown.Should().BeFalse();
        refused.Message.Should().Contain("tag in braces");
        (await keyspace.GetAsync<string>("k0")).Should().BeNull();

        var together = new KvTxn().Then(then =>
        {
            for (int i = 0; i < 40; i++)
            {
                then.Put($"{{user}}/{i}", "v");
            }
        });
        (await keyspace.TransactAsync(together)).Succeeded.Should().BeTrue();
    }

    [Fact]
    public async Task An_ap_keyspace_refuses_them_and_so_does_a_side_without_a_majority()
    {
        IKvKeyspace open = await NewKeyspaceAsync(PartitionPolicy.Ap, Replication.Sync);
        KvTxn any = new KvTxn().Then(then => then.Put("k", "v"));
        KvException notOffered = (await FluentActions.Awaiting(() => open.TransactAsync(any).AsTask()).Should().ThrowAsync<KvException>()).Which;
        notOffered.Code.Should().Be(KvCode.LevelNotOffered);
        notOffered.Message.Should().Contain("A transaction needs one order of all writes, which an ap keyspace does not have");

        IKvKeyspace keyspace = await NewKeyspaceAsync(PartitionPolicy.Cp, Replication.Sync);
        uint alone = _cluster.Nodes.First().Id;
        await _cluster.IsolateAsync(alone);
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{_cluster.Node(alone).Address}");
        await _cluster.WaitUntilAsync("the side without a majority refuses", async () =>
        {
            try
            {
                await TransactAsync(channel, keyspace.Name, 1, new Transaction { Then = { Put("k", "v") } });
                return false;
            }
            catch (RpcException refused)
            {
                return refused.Status.Detail.Contains("of the shard's 3 replicas can be reached", StringComparison.Ordinal);
            }
        });
    }

    [Fact]
    public async Task A_side_that_serves_provisionally_refuses_them()
    {
        string name = nodes.NewName("adaptive");
        await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Adaptive, Shards = 1, ProvisionalAfter = TimeSpan.FromSeconds(1) });
        uint leader = await _cluster.LeaderOfAsync(name);
        uint alone = _cluster.Nodes.First(node => node.Id != leader).Id;
        (await _cluster.Client.Keyspace(name).TransactAsync(new KvTxn().Then(then => then.Put("k", "v")))).Succeeded.Should().BeTrue("with a majority it is as good as cp");
        await _cluster.IsolateAsync(alone);
        await _cluster.WaitUntilAsync("it serves provisionally", async () => (await _cluster.ClientOf(alone).GetAsync(name, "?")) is { IsDone: true, Regime: Regime.Provisional });
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{_cluster.Node(alone).Address}");
        RpcException refused = (await FluentActions.Awaiting(() => TransactAsync(channel, name, 1, new Transaction { Then = { Put("k", "v") } })).Should().ThrowAsync<RpcException>()).Which;
        refused.StatusCode.Should().Be(StatusCode.FailedPrecondition, refused.Status.Detail);
        refused.Status.Detail.Should().Contain("answers provisionally");
    }

    [Fact]
    public async Task A_retry_at_the_new_leader_has_the_answer_of_the_first_attempt()
    {
        string name = nodes.NewName("retry");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        uint old = await _cluster.LeaderOfAsync(name);
        uint other = _cluster.Nodes.First(node => node.Id != old).Id;
        (await _cluster.ClientOf(old).PutAsync(name, "k", "before")).IsDone.Should().BeTrue();
        var transaction = new Transaction
        {
            Comparisons = { new Comparison { Kind = ComparisonKind.ValueIs, Key = ByteString.CopyFromUtf8("k"), Value = ByteString.CopyFromUtf8("before") } },
            Then = { new TransactionOperation { Kind = OperationKind.Get, Key = ByteString.CopyFromUtf8("k") }, Put("k", "after") },
        };
        using GrpcChannel first = GrpcChannel.ForAddress($"http://{_cluster.Node(old).Address}");
        Result done = await TransactAsync(first, name, 1, transaction);
        done.Transaction.Branch.Should().Be(TransactionBranch.Then);

        await _cluster.KillAsync(old);
        Result again = null!;
        using GrpcChannel second = GrpcChannel.ForAddress($"http://{_cluster.Node(other).Address}");
        await _cluster.WaitUntilAsync("the new leader answers", async () =>
        {
            try
            {
                again = await TransactAsync(second, name, 1, transaction);
                return true;
            }
            catch (RpcException notYet) when (notYet.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded)
            {
                return false;
            }
        });
        again.Version.Should().Equal(done.Version);
        again.Transaction.Should().Be(done.Transaction, "what was read then can't be read again, and is remembered");
        again.Transaction.Results[0].Value.ToStringUtf8().Should().Be("before");
        await _cluster.RestartAsync(old);
    }

    [Fact]
    public async Task Transfers_through_the_kill_of_a_leader_neither_make_nor_lose_money()
    {
        IKvKeyspace keyspace = await NewKeyspaceAsync(PartitionPolicy.Cp, Replication.Async);
        await keyspace.TransactAsync(new KvTxn().Then(then =>
        {
            for (int i = 0; i < Accounts; i++)
            {
                then.Put(Account(i), 100L);
            }
        }));
        using var ending = new CancellationTokenSource();
        int done = 0;
        Task[] tellers = [.. Enumerable.Range(0, 4).Select(number => TransferAsync(keyspace, new Random(number), () => Interlocked.Increment(ref done), ending.Token))];
        await _cluster.WaitUntilAsync("money moves", () => Task.FromResult(Volatile.Read(ref done) >= 20));
        uint leader = await _cluster.LeaderOfAsync(keyspace.Name);
        await _cluster.KillAsync(leader);
        int before = Volatile.Read(ref done);
        await _cluster.WaitUntilAsync("money moves again", () => Task.FromResult(Volatile.Read(ref done) >= before + 20));
        await ending.CancelAsync();
        await Task.WhenAll(tellers);
        (await TotalAsync(keyspace)).Should().Be(Money);
        output.WriteLine($"{done} transfers");
        await _cluster.RestartAsync(leader);
    }

    [Fact]
    public async Task What_is_out_of_bounds_is_refused_before_anything_is_sent_or_done()
    {
        IKvKeyspace keyspace = await NewKeyspaceAsync(PartitionPolicy.Cp, Replication.Sync);
        await RefusedAsync(keyspace, new KvTxn(), "1 to 128");
        KvTxn many = new();
        for (int i = 0; i < 129; i++)
        {
            many.IfAbsent($"{{t}}{i}");
        }

        await RefusedAsync(keyspace, many, "129");
        await RefusedAsync(keyspace, new KvTxn().Then(then => then.Put("{t}a", new byte[600_000]).Put("{t}b", new byte[600_000])), "1048576");
        FluentActions.Invoking(() => new KvTxn().Then(then => then.Put("k", "v", TimeSpan.Zero))).Should().Throw<ArgumentOutOfRangeException>();
        KvException twice = (await FluentActions.Awaiting(() => keyspace.TransactAsync(new KvTxn().Then(then => then.Put("k", "1").Delete("k"))).AsTask()).Should().ThrowAsync<KvException>()).Which;
        (twice.Code, twice.OutcomeUnknown).Should().Be((KvCode.InvalidArgument, false));
        twice.Message.Should().Contain("twice");
        KvException version = (await FluentActions.Awaiting(() => keyspace.TransactAsync(new KvTxn().IfVersion("k", new KvVersion(new byte[] { 9, 9 })).Then(then => then.Put("k", "1"))).AsTask()).Should().ThrowAsync<KvException>()).Which;
        version.Code.Should().Be(KvCode.InvalidArgument);

        await keyspace.PutAsync("{t}a", new byte[700_000]);
        await keyspace.PutAsync("{t}b", new byte[700_000]);
        KvException answer = (await FluentActions.Awaiting(() => keyspace.TransactAsync(new KvTxn().Then(then => then.Get("{t}a").Get("{t}b").Put("{t}c", "v"))).AsTask()).Should().ThrowAsync<KvException>()).Which;
        answer.Code.Should().Be(KvCode.TooLarge);
        (await keyspace.GetAsync<string>("{t}c")).Should().BeNull();
    }

    private static string Account(int number) => $"{{bank}}/{number}";

    private static TransactionOperation Put(string key, string value) => new() { Kind = OperationKind.Put, Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value) };

    private static async Task<Result> TransactAsync(GrpcChannel channel, string keyspace, ulong sequence, Transaction transaction) => await new Kv.KvClient(channel).TransactAsync(
        new TransactRequest { Keyspace = keyspace, Transaction = transaction, Request = new RequestId { Session = 4_711, Sequence = sequence } },
        deadline: DateTime.UtcNow + TimeSpan.FromSeconds(5));

    private static async Task RefusedAsync(IKvKeyspace keyspace, KvTxn transaction, string because) =>
        (await FluentActions.Awaiting(() => keyspace.TransactAsync(transaction).AsTask()).Should().ThrowAsync<ArgumentException>()).Which.Message.Should().Contain(because);

    private static async Task<long> TotalAsync(IKvKeyspace keyspace)
    {
        KvTxnResult all = await keyspace.TransactAsync(new KvTxn().Then(then =>
        {
            for (int i = 0; i < Accounts; i++)
            {
                then.Get(Account(i));
            }
        }));
        return Enumerable.Range(0, Accounts).Sum(number => all.Get<long>(Account(number))!.Value);
    }

    private static async Task TransferAsync(IKvKeyspace keyspace, Random random, Action onDone, CancellationToken ending)
    {
        while (!ending.IsCancellationRequested)
        {
            int from = random.Next(Accounts);
            int to = (from + random.Next(1, Accounts)) % Accounts;
            try
            {
                KvTxnResult read = await keyspace.TransactAsync(new KvTxn().Then(then => then.Get(Account(from)).Get(Account(to))), cancellationToken: CancellationToken.None);
                if (!read.IsDone)
                {
                    continue;
                }

                KvEntry<long> source = read.Get<long>(0)!, target = read.Get<long>(1)!;
                KvTxnResult moved = await keyspace.TransactAsync(
                    new KvTxn()
                        .IfVersion(source.Key, source.Version).IfVersion(target.Key, target.Version)
                        .Then(then => then.Put(source.Key, source.Value - 1).Put(target.Key, target.Value + 1)),
                    cancellationToken: CancellationToken.None);
                if (moved.Succeeded)
                {
                    onDone();
                }
            }
            catch (KvException)
            {
                // Refused while there is no leader: try again.
            }
        }
    }

    private async Task<IKvKeyspace> NewKeyspaceAsync(PartitionPolicy policy, Replication replication)
    {
        string name = nodes.NewName("txn");
        await _cluster.CreateKeyspaceAsync(name, policy, replication, shards: 1);
        return _cluster.Client.Keyspace(name);
    }
}

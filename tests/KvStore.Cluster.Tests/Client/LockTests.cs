using System.Diagnostics;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

/// <summary>Locks over real nodes; scenario 50.</summary>
[Collection(ClusterCollection.Name)]
public sealed class LockTests(ThreeNodes nodes) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private static readonly KvLockOptions Short = new() { Lease = TimeSpan.FromSeconds(1), PollInterval = TimeSpan.FromMilliseconds(50) };

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task A_lock_has_one_holder_and_the_next_gets_a_larger_token_as_soon_as_it_is_released()
    {
        KvLocks locks = new(await KeyspaceAsync(_cluster.Client));
        KvLockHandle first = (await locks.TryAcquireAsync("l"))!;
        (await locks.TryAcquireAsync("l")).Should().BeNull("it is held");
        long token = first.FencingToken;
        await first.DisposeAsync();
        first.Lost.IsCancellationRequested.Should().BeTrue("a released lock protects nothing any more");

        await using KvLockHandle second = (await locks.TryAcquireAsync("l"))!;
        second.FencingToken.Should().BeGreaterThan(token);
    }

    [Fact]
    public async Task A_holder_keeps_its_lock_through_many_leases()
    {
        KvLocks locks = new(await KeyspaceAsync(_cluster.Client), Short);
        await using KvLockHandle held = (await locks.TryAcquireAsync("l"))!;
        using var threeLeases = new CancellationTokenSource(Short.Lease * 3);
        Func<Task> wait = async () => await locks.AcquireAsync("l", threeLeases.Token);
        await wait.Should().ThrowAsync<OperationCanceledException>("the holder renews it");
        held.Lost.IsCancellationRequested.Should().BeFalse();
    }

    [Fact]
    public async Task Scenario_50_the_lock_of_a_holder_that_is_cut_off_is_lost_to_it_before_another_gets_it_with_a_larger_token()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        IKvKeyspace keyspace = await KeyspaceAsync(_cluster.Client);
        IKvClient doomed = KvClient.Create(_cluster.Endpoints);
        KvLockHandle held = await new KvLocks(doomed.Keyspace(keyspace.Name), Short).AcquireAsync("l", deadline.Token);
        long lostAt = 0;
        held.Lost.Register(() => lostAt = Stopwatch.GetTimestamp());

        await doomed.DisposeAsync();
        await using KvLockHandle next = await new KvLocks(keyspace, Short).AcquireAsync("l", deadline.Token);
        long takenAt = Stopwatch.GetTimestamp();
        next.FencingToken.Should().BeGreaterThan(held.FencingToken);
        lostAt.Should().BeInRange(1, takenAt, "a holder must know before anybody else has the lock");
        await held.DisposeAsync();
        next.Lost.IsCancellationRequested.Should().BeFalse("who has lost a lock can't release it for the next one");
    }

    [Fact]
    public async Task There_is_one_leader_at_a_time_and_another_follows_when_it_resigns()
    {
        KvLocks locks = new(await KeyspaceAsync(_cluster.Client), Short);
        using var stop = new CancellationTokenSource(Deadline);
        int leading = 0;
        List<long> tokens = [];
        var turns = new TaskCompletionSource();
        Task Candidate() => locks.LeadAsync("office", async (held, lost) =>
        {
            Interlocked.Increment(ref leading).Should().Be(1);
            lock (tokens)
            {
                tokens.Add(held.FencingToken);
                if (tokens.Count >= 6)
                {
                    turns.TrySetResult();
                }
            }

            await Task.Yield();
            lost.ThrowIfCancellationRequested();
            Interlocked.Decrement(ref leading);
        }, stop.Token);
        Task[] candidates = [Candidate(), Candidate(), Candidate()];
        await turns.Task.WaitAsync(Deadline);
        await stop.CancelAsync();
        foreach (Task candidate in candidates)
        {
            await ((Func<Task>)(() => candidate)).Should().ThrowAsync<OperationCanceledException>();
        }

        tokens.Should().BeInAscendingOrder().And.OnlyHaveUniqueItems();
    }

    [Fact]
    public async Task A_key_that_holds_something_else_is_no_lock()
    {
        IKvKeyspace keyspace = await KeyspaceAsync(_cluster.Client);
        await keyspace.PutAsync("l", "a value");
        Func<Task> acquire = async () => await new KvLocks(keyspace).TryAcquireAsync("l");
        (await acquire.Should().ThrowAsync<FormatException>()).WithMessage("*no lock*");
    }

    private async Task<IKvKeyspace> KeyspaceAsync(IKvClient client)
    {
        string name = nodes.NewName("locks");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        return client.Keyspace(name);
    }
}

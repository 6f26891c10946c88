using System.Buffers;
using System.Text;
using FluentAssertions;
using KvStore.Client;
using KvStore.Client.Caching;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace KvStore.Cluster.Tests.Caching;

/// <summary>A keyspace as distributed cache, over real nodes: in memory, on disk, and with consensus.</summary>
[Collection(ClusterCollection.Name)]
public sealed class DistributedCacheTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private static readonly DistributedCacheEntryOptions Forever = new();
    private readonly KvTestCluster _cluster = nodes.Cluster;

    /// <summary>Reads where it writes: a hedged read may be answered by a replica that is a moment behind.</summary>
    private IKvClient _client = null!;

    public async ValueTask InitializeAsync()
    {
        await nodes.HealAsync();
        var options = new KvClientOptions { HedgedReads = false };
        options.Endpoints.Add(_cluster.Endpoints.First());
        _client = KvClient.Create(options);
    }

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await nodes.TellIfFailed(output);
    }

    [Theory]
    [InlineData(Under.Memory)]
    [InlineData(Under.Ap)]
    [InlineData(Under.Cp)]
    public async Task A_value_is_set_found_copied_and_removed(Under under)
    {
        KvDistributedCache cache = await CacheAsync(under);
        (await cache.GetAsync("k")).Should().BeNull();

        await cache.SetAsync("k", "one"u8.ToArray(), Forever);
        (await TextAsync(cache, "k")).Should().Be("one");

        await cache.SetAsync("k", Pieces("t", "w", "o"), Forever);
        var buffer = new ArrayBufferWriter<byte>();
        (await cache.TryGetAsync("k", buffer)).Should().BeTrue();
        Encoding.UTF8.GetString(buffer.WrittenSpan).Should().Be("two");

        await cache.SetAsync("empty", [], Forever);
        (await cache.GetAsync("empty")).Should().BeEmpty("an empty value is one");

        await cache.RemoveAsync("k");
        (await cache.GetAsync("k")).Should().BeNull();
        (await cache.TryGetAsync("k", buffer)).Should().BeFalse();
        await cache.RefreshAsync("k");
        await cache.RefreshAsync("nothing");
        await cache.SetAsync("k", "again"u8.ToArray(), Forever);
        (await TextAsync(cache, "k")).Should().Be("again");
    }

    [Theory]
    [InlineData(Under.Memory)]
    [InlineData(Under.Ap)]
    [InlineData(Under.Cp)]
    public async Task A_value_is_gone_after_its_absolute_expiration(Under under)
    {
        KvDistributedCache cache = await CacheAsync(under);
        await cache.SetAsync("short", [1], new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromMilliseconds(200) });
        await cache.SetAsync("dated", [1], new() { AbsoluteExpiration = TimeProvider.System.GetUtcNow().AddMilliseconds(200), SlidingExpiration = TimeSpan.FromHours(1) });
        await cache.SetAsync("long", [1], new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(1) });
        await cache.SetAsync("forever", [1], new() { AbsoluteExpiration = DateTimeOffset.MaxValue });

        await _cluster.WaitUntilAsync("both are gone, though they are read", async () => await cache.GetAsync("short") is null && await cache.GetAsync("dated") is null);
        (await cache.GetAsync("long")).Should().NotBeNull();
        (await cache.GetAsync("forever")).Should().NotBeNull();
    }

    [Theory]
    [InlineData(Under.Memory)]
    [InlineData(Under.Ap)]
    [InlineData(Under.Cp)]
    public async Task A_sliding_value_lives_while_it_is_read_and_no_longer_than_its_window_after(Under under)
    {
        KvDistributedCache cache = await CacheAsync(under);
        TimeSpan window = TimeSpan.FromSeconds(3);
        await cache.SetAsync("read", "v"u8.ToArray(), new() { SlidingExpiration = window });
        await cache.SetAsync("unread", "v"u8.ToArray(), new() { SlidingExpiration = window });
        await cache.SetAsync("refreshed", "v"u8.ToArray(), new() { SlidingExpiration = window });

        // The peer that nobody reads says when its window has passed; the others have outlived it.
        IKvKeyspace raw = _client.Keyspace(cache.KeyspaceName);
        await _cluster.WaitUntilAsync("the one that is not read is gone", async () =>
        {
            (await TextAsync(cache, "read")).Should().Be("v");
            await cache.RefreshAsync("refreshed");
            return await raw.GetAsync<byte[]>("unread") is null;
        });
        (await TextAsync(cache, "read")).Should().Be("v");
        (await TextAsync(cache, "refreshed")).Should().Be("v");
        await _cluster.WaitUntilAsync("and so are the others when nobody reads them", async () => await raw.GetAsync<byte[]>("read") is null && await raw.GetAsync<byte[]>("refreshed") is null);
    }

    [Theory]
    [InlineData(Under.Ap)]
    [InlineData(Under.Cp)]
    public async Task Reads_write_nothing_before_a_part_of_the_window_has_passed(Under under)
    {
        KvDistributedCache cache = await CacheAsync(under);
        IKvKeyspace raw = _client.Keyspace(cache.KeyspaceName);
        await cache.SetAsync("k", [1], new() { SlidingExpiration = TimeSpan.FromHours(1) });
        KvVersion set = (await raw.GetAsync<byte[]>("k"))!.Version;
        for (int i = 0; i < 20; i++)
        {
            await cache.GetAsync("k");
            await cache.RefreshAsync("k");
        }

        (await raw.GetAsync<byte[]>("k"))!.Version.Should().Be(set);

        var eager = new KvDistributedCache(_client, new KvCacheOptions { Keyspace = cache.KeyspaceName, Timeout = TimeSpan.FromSeconds(30), RenewAfter = 0 });
        await eager.GetAsync("k");
        (await raw.GetAsync<byte[]>("k"))!.Version.Should().NotBe(set, "this one renews with every access");
    }

    [Theory]
    [InlineData(Under.Memory, false)]
    [InlineData(Under.Memory, true)]
    [InlineData(Under.Ap, false)]
    [InlineData(Under.Ap, true)]
    [InlineData(Under.Cp, false)]
    [InlineData(Under.Cp, true)]
    public async Task A_renewal_that_has_read_an_older_value_undoes_neither_a_set_nor_a_removal(Under under, bool removes)
    {
        string keyspace = await nodes.CreateAsync(under);
        KvDistributedCache cache = new(_client, CacheKeyspaces.Options(keyspace));
        await cache.SetAsync("k", "old"u8.ToArray(), new() { SlidingExpiration = TimeSpan.FromMinutes(1) });

        // A reader has read the old value and is about to renew it; meanwhile another one changes it.
        var paused = new PausedKeyspace(_client.Keyspace(keyspace));
        var slow = new KvDistributedCache(new ClientOf(paused), new KvCacheOptions { Keyspace = keyspace, Timeout = TimeSpan.FromSeconds(30), RenewAfter = 0 });
        Task<byte[]?> reading = slow.GetAsync("k");
        await paused.IsAboutToWrite;
        await (removes ? cache.RemoveAsync("k") : cache.SetAsync("k", "new"u8.ToArray(), new() { SlidingExpiration = TimeSpan.FromMinutes(1) }));
        paused.GoOn();
        Encoding.UTF8.GetString((await reading)!).Should().Be("old", "that is what it had read");

        (await TextAsync(cache, "k")).Should().Be(removes ? null : "new");
        if (under == Under.Ap)
        {
            KvEntry<byte[]> stored = (await _client.Keyspace(keyspace).GetAsync<byte[]>("k"))!;
            stored.SiblingCount.Should().Be(removes ? 2 : 1, "the renewal stood beside it, and the next access to a value that slides settles that");
        }
    }

    [Fact]
    public async Task What_was_set_and_removed_on_two_sides_of_a_cut_is_decided_by_what_came_last()
    {
        string keyspace = await nodes.CreateAsync(Under.Ap);
        await using IKvClient left = ClientBeside(1);
        await using IKvClient right = ClientBeside(2);
        KvDistributedCache here = new(left, CacheKeyspaces.Options(keyspace));
        KvDistributedCache there = new(right, CacheKeyspaces.Options(keyspace));
        await here.SetAsync("set", "old"u8.ToArray(), Forever);
        await here.SetAsync("removed", "old"u8.ToArray(), Forever);
        await _cluster.WaitUntilConvergedAsync(keyspace);

        await _cluster.IsolateAsync(1);
        await here.SetAsync("set", "first"u8.ToArray(), Forever);
        await here.SetAsync("removed", "first"u8.ToArray(), Forever);
        await there.SetAsync("set", "last"u8.ToArray(), Forever);
        await there.RemoveAsync("removed");
        (await TextAsync(here, "set")).Should().Be("first");
        (await TextAsync(there, "set")).Should().Be("last");

        await nodes.HealAsync();
        await _cluster.WaitUntilConvergedAsync(keyspace);
        foreach (KvDistributedCache side in (KvDistributedCache[])[here, there])
        {
            (await TextAsync(side, "set")).Should().Be("last");
            (await TextAsync(side, "removed")).Should().BeNull();
        }
    }

    [Fact]
    public async Task An_adaptive_keyspace_renews_with_a_majority_and_leaves_values_alone_while_it_is_provisional()
    {
        string keyspace = nodes.NewName("cache-adaptive");
        await _cluster.CreateKeyspaceAsync(keyspace, PartitionPolicy.Adaptive, Replication.Sync, shards: 1);
        await using IKvClient alone = ClientBeside(1);
        IKvKeyspace raw = alone.Keyspace(keyspace);
        KvDistributedCache cache = new(alone, new KvCacheOptions { Keyspace = keyspace, Timeout = TimeSpan.FromSeconds(30), RenewAfter = 0 });
        await cache.SetAsync("k", "v"u8.ToArray(), new() { SlidingExpiration = TimeSpan.FromHours(1) });
        KvVersion set = (await raw.GetAsync<byte[]>("k"))!.Version;
        (await TextAsync(cache, "k")).Should().Be("v");
        KvVersion renewed = (await raw.GetAsync<byte[]>("k"))!.Version;
        renewed.Should().NotBe(set);
        await _cluster.WaitUntilCaughtUpAsync(keyspace);

        await _cluster.IsolateAsync(1);
        await _cluster.WaitUntilAsync("this side serves provisionally", async () => (await raw.GetAsync<byte[]>("k"))!.Provisional);
        KvVersion provisional = (await raw.GetAsync<byte[]>("k"))!.Version;
        (await TextAsync(cache, "k")).Should().Be("v");
        (await raw.GetAsync<byte[]>("k"))!.Version.Should().Be(provisional);
        await cache.SetAsync("k", "w"u8.ToArray(), Forever);
        (await TextAsync(cache, "k")).Should().Be("w");
    }

    [Fact]
    public async Task What_can_not_be_kept_is_refused_before_it_is_sent()
    {
        KvDistributedCache cache = await CacheAsync(Under.Memory);
        await cache.SetAsync("largest", new byte[KvDistributedCache.MaxValueBytes], new() { SlidingExpiration = TimeSpan.FromMinutes(1) });
        (await cache.GetAsync("largest"))!.Length.Should().Be(KvDistributedCache.MaxValueBytes);

        Func<Task> tooLarge = () => cache.SetAsync("k", new byte[KvDistributedCache.MaxValueBytes + 1], Forever);
        (await tooLarge.Should().ThrowAsync<ArgumentException>()).Which.Message.Should().Contain($"at most {KvDistributedCache.MaxValueBytes} bytes; this one has {KvDistributedCache.MaxValueBytes + 1}");
        Func<Task> tooLong = () => cache.SetAsync(new string('k', 5_000), [1], Forever);
        (await tooLong.Should().ThrowAsync<ArgumentException>()).Which.Message.Should().Contain("A key is 1 to 4096 bytes");
        Func<Task> past = () => cache.SetAsync("k", [1], new() { AbsoluteExpiration = TimeProvider.System.GetUtcNow().AddMinutes(-1) });
        await past.Should().ThrowAsync<ArgumentOutOfRangeException>();

        IKvKeyspace raw = _client.Keyspace(cache.KeyspaceName);
        await raw.PutAsync("foreign", "text");
        Func<Task> foreign = () => cache.GetAsync("foreign");
        await foreign.Should().ThrowAsync<FormatException>();
    }

    [Fact]
    public async Task Caches_with_prefixes_share_a_keyspace()
    {
        string keyspace = await nodes.CreateAsync(Under.Memory);
        KvDistributedCache a = new(_client, new KvCacheOptions { Keyspace = keyspace, KeyPrefix = "a/" });
        KvDistributedCache b = new(_client, new KvCacheOptions { Keyspace = keyspace, KeyPrefix = "b/" });
        await a.SetAsync("k", "of a"u8.ToArray(), Forever);
        await b.SetAsync("k", "of b"u8.ToArray(), Forever);
        await a.RemoveAsync("k");
        (await TextAsync(b, "k")).Should().Be("of b");
    }

    [Fact]
    public async Task The_synchronous_methods_work_on_a_thread_with_a_synchronization_context_that_runs_nothing()
    {
        KvDistributedCache cache = await CacheAsync(Under.Ap);
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                SynchronizationContext.SetSynchronizationContext(new DeafContext());
                cache.Set("k", "v"u8.ToArray(), Forever);
                cache.Get("k").Should().Equal("v"u8.ToArray());
                cache.Refresh("k");
                var buffer = new ArrayBufferWriter<byte>();
                cache.TryGet("k", buffer).Should().BeTrue();
                cache.Set("k", Pieces("w"), Forever);
                cache.Remove("k");
                cache.Get("k").Should().BeNull();
            }
            catch (Exception any)
            {
                failure = any;
            }
        });
        thread.Start();
        thread.Join(TimeSpan.FromSeconds(60)).Should().BeTrue("it must not wait for its own context");
        failure.Should().BeNull();
    }

    [Fact]
    public async Task More_synchronous_callers_than_the_pool_has_threads_all_get_their_answers()
    {
        KvDistributedCache cache = await CacheAsync(Under.Ap);
        await cache.SetAsync("k", "v"u8.ToArray(), Forever);
        ThreadPool.GetMinThreads(out int workers, out _);
        Task<bool>[] callers = [.. Enumerable.Range(0, workers * 8).Select(_ => Task.Run(() => cache.Get("k") is { Length: 1 }))];
        (await Task.WhenAll(callers)).Should().OnlyContain(found => found);
    }

    [Fact]
    public async Task A_store_that_can_not_answer_throws_or_counts_as_a_miss_as_the_options_say()
    {
        string keyspace = await nodes.CreateAsync(Under.Cp);
        await using IKvClient alone = ClientBeside(1);
        KvDistributedCache throwing = new(alone, CacheKeyspaces.Options(keyspace));
        KvDistributedCache missing = new(alone, new KvCacheOptions { Keyspace = keyspace, Timeout = TimeSpan.FromSeconds(30), WhenUnavailable = KvCacheFailure.Miss });
        await throwing.SetAsync("k", "v"u8.ToArray(), Forever);
        await _cluster.IsolateAsync(1);

        Func<Task> get = () => throwing.GetAsync("k");
        Func<Task> set = () => throwing.SetAsync("k", [1], Forever);
        await get.Should().ThrowAsync<KvException>();
        await set.Should().ThrowAsync<KvException>();

        (await missing.GetAsync("k")).Should().BeNull();
        (await missing.TryGetAsync("k", new ArrayBufferWriter<byte>())).Should().BeFalse();
        await missing.SetAsync("k", "w"u8.ToArray(), Forever);
        await missing.RefreshAsync("k");
        Func<Task> remove = () => missing.RemoveAsync("k");
        await remove.Should().ThrowAsync<KvException>("what was meant to be gone must not come back unnoticed");

        KvDistributedCache misnamed = new(_client, new KvCacheOptions { Keyspace = "no-such-cache", WhenUnavailable = KvCacheFailure.Miss });
        Func<Task> misuse = () => misnamed.GetAsync("k");
        (await misuse.Should().ThrowAsync<KvException>("that is no outage")).Which.Code.Should().Be(KvCode.UnknownKeyspace);

        await nodes.HealAsync();
        await _cluster.WaitUntilAsync("it answers again", async () => await missing.GetAsync("k") is not null);
    }

    [Fact]
    public async Task Absolute_expiration_is_measured_by_the_clock_that_the_host_gives()
    {
        string keyspace = await nodes.CreateAsync(Under.Memory);
        var clock = new FakeTimeProvider(new DateTimeOffset(2040, 1, 1, 0, 0, 0, TimeSpan.Zero));
        KvDistributedCache cache = new(_client, CacheKeyspaces.Options(keyspace), time: clock);
        await cache.SetAsync("k", [1], new() { AbsoluteExpiration = clock.GetUtcNow().AddMinutes(10) });
        KvEntry<byte[]> stored = (await _client.Keyspace(keyspace).GetAsync<byte[]>("k"))!;
        stored.ExpiresIn.Should().BeCloseTo(TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(1));
    }

    private static ReadOnlySequence<byte> Pieces(params string[] pieces)
    {
        Piece? first = null;
        Piece? last = null;
        foreach (string piece in pieces)
        {
            last = new Piece(Encoding.UTF8.GetBytes(piece), last);
            first ??= last;
        }

        return new ReadOnlySequence<byte>(first!, 0, last!, last!.Memory.Length);
    }

    private static async Task<string?> TextAsync(KvDistributedCache cache, string key) => await cache.GetAsync(key) is { } bytes ? Encoding.UTF8.GetString(bytes) : null;

    private async Task<KvDistributedCache> CacheAsync(Under under) => new(_client, CacheKeyspaces.Options(await nodes.CreateAsync(under)));

    private KvClient ClientBeside(uint node)
    {
        KvClientOptions options = new() { HedgedReads = false };
        _cluster.PlaceBeside(node, options);
        return KvClient.Create(options);
    }

    private sealed class DeafContext : SynchronizationContext
    {
        public override void Post(SendOrPostCallback d, object? state)
        {
        }

        public override void Send(SendOrPostCallback d, object? state) => throw new InvalidOperationException("Nothing runs here.");
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory, Piece? before)
        {
            Memory = memory;
            RunningIndex = before is null ? 0 : before.RunningIndex + before.Memory.Length;
            before?.Next = this;
        }
    }
}

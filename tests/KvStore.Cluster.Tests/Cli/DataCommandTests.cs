using System.Text;
using System.Text.Json;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

[Collection(ClusterCollection.Name)]
public sealed class DataCommandTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task What_was_put_is_got_and_what_was_deleted_is_not_found()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        KvRun put = await nodes.MustKvAsync("put", "hello", "world", "-k", name);
        put.Out.Should().StartWith("done, version ").And.MatchRegex("on [23] replicas");

        (await nodes.MustKvAsync("get", "hello", "-k", name)).Shown.Should().Contain("world");
        (await nodes.MustKvAsync("get", "hello", "-k", name, "-o", "raw")).RawOut.Should().Equal("world"u8.ToArray());
        JsonElement got = (await nodes.MustKvAsync("get", "hello", "-k", name, "-o", "json")).Json();
        got.GetProperty("value").GetString().Should().Be("world");
        got.GetProperty("regime").GetString().Should().Be("ordered");
        got.GetProperty("siblingCount").GetInt32().Should().Be(1);

        await nodes.MustKvAsync("del", "hello", "-k", name);
        KvRun gone = await nodes.KvAsync("get", "hello", "-k", name);
        gone.Code.Should().Be(ExitCode.NotFound);
        gone.Error.Should().Contain("'hello' has no value");
        gone.Out.Should().BeEmpty();
    }

    [Fact]
    public async Task A_value_from_standard_input_comes_back_byte_for_byte()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        byte[] bytes = [.. Enumerable.Range(0, 70_000).Select(number => (byte)(number * 31))];
        (await nodes.KvAsync(["put", "blob", "-", "-k", name], bytes)).Code.Should().Be(ExitCode.Ok);
        (await nodes.MustKvAsync("get", "blob", "-k", name, "-o", "raw")).RawOut.Should().Equal(bytes);
    }

    [Fact]
    public async Task A_comparison_that_does_not_hold_ends_with_3()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        await nodes.MustKvAsync("cas", "k", "absent", "one", "-k", name);
        string version = (await nodes.MustKvAsync("get", "k", "-k", name, "-o", "json")).Json().GetProperty("version").GetString()!;
        await nodes.MustKvAsync("cas", "k", version, "two", "-k", name);

        KvRun late = await nodes.KvAsync("cas", "k", version, "three", "-k", name);
        late.Code.Should().Be(ExitCode.ConditionFailed, late.Error);
        late.Error.Should().Contain("The condition did not hold for 'k', nothing was written");
        (await nodes.KvAsync("put", "k", "four", "-k", name, "--if-absent")).Code.Should().Be(ExitCode.ConditionFailed);
        KvRun deleted = await nodes.KvAsync("del", "k", "-k", name, "--if-version", version, "-o", "json");
        deleted.Code.Should().Be(ExitCode.ConditionFailed);
        deleted.Json().GetProperty("outcome").GetString().Should().Be("not-done");
        (await nodes.MustKvAsync("get", "k", "-k", name, "-o", "raw")).RawOut.Should().Equal("two"u8.ToArray());
    }

    [Fact]
    public async Task A_scan_lists_keys_in_order_and_says_where_to_go_on()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        for (int number = 0; number < 12; number++)
        {
            await nodes.MustKvAsync("put", $"a{number:00}", $"value {number}", "-k", name);
        }

        await nodes.MustKvAsync("put", "b", "other", "-k", name);
        KvRun first = await nodes.MustKvAsync("scan", "-k", name, "--prefix", "a", "--limit", "5", "-o", "raw");
        first.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Should().Equal(Enumerable.Range(0, 5).Select(number => $"a{number:00}\tvalue {number}"));
        first.Error.Should().Contain("--after 'a04'");
        KvRun rest = await nodes.MustKvAsync("scan", "-k", name, "--prefix", "a", "--after", "a04", "-o", "json");
        rest.Json().EnumerateArray().Select(entry => entry.GetProperty("key").GetString()).Should().Equal(Enumerable.Range(5, 7).Select(number => $"a{number:00}"));
        (await nodes.MustKvAsync("scan", "-k", name)).Out.Should().Contain("other").And.Contain("value 11");
    }

    [Theory]
    [InlineData("cp")]
    [InlineData("ap")]
    public async Task A_counter_is_shown_after_each_increment_and_what_is_no_counter_is_refused(string policy)
    {
        string name = await nodes.NewKeyspaceAsync(policy);
        (await nodes.MustKvAsync("incr", "visits", "-k", name)).Out.Trim().Should().Be("1");
        (await nodes.MustKvAsync("incr", "visits", "--by", "-5", "-k", name)).Out.Trim().Should().Be("-4");
        (await nodes.MustKvAsync("incr", "visits", "-k", name, "-o", "json")).Json().GetProperty("counter").GetInt64().Should().Be(-3);
        (await nodes.MustKvAsync("get", "visits", "-k", name)).Shown.Should().Contain("-3");

        await nodes.MustKvAsync("put", "visits", "many", "-k", name);
        KvRun refused = await nodes.KvAsync("incr", "visits", "-k", name);
        refused.Code.Should().Be(ExitCode.Refused, refused.Error);
        refused.Error.Should().Contain("is no counter");
    }

    [Theory]
    [InlineData("cp")]
    [InlineData("ap")]
    public async Task A_value_that_was_put_with_a_ttl_is_gone_when_its_time_is_over(string policy)
    {
        string name = nodes.NewName("expiring");
        await nodes.MustKvAsync("keyspace", "create", name, "--policy", policy, "--shards", "1", "--ttl", "1h");
        await nodes.MustKvAsync("put", "short", "v", "-k", name, "--ttl", "300ms");
        await nodes.MustKvAsync("put", "default", "v", "-k", name);
        await nodes.MustKvAsync("put", "lasting", "v", "-k", name, "--ttl", "never");
        (await nodes.MustKvAsync("get", "default", "-k", name, "-o", "json")).Json().GetProperty("expiresInMs").GetInt64().Should().BeInRange(1, 3_600_000);
        (await nodes.MustKvAsync("get", "lasting", "-k", name, "-o", "json")).Json().TryGetProperty("expiresInMs", out _).Should().BeFalse();
        await _cluster.WaitUntilAsync("the value is gone", async () => (await nodes.KvAsync("get", "short", "-k", name)).Code == ExitCode.NotFound);
        KvRun again = await nodes.KvAsync("keyspace", "create", name, "--policy", policy, "--shards", "1", "--ttl", "2h");
        again.Code.Should().Be(ExitCode.Usage, again.Error);
        again.Error.Should().Contain("exists with other settings");
    }

    [Fact]
    public async Task A_session_goes_from_command_to_command_by_its_token()
    {
        string name = await nodes.NewKeyspaceAsync("ap");
        KvRun put = await nodes.MustKvAsync("put", "cart", "tea", "-k", name, "--session", "new");
        string token = put.Error.Split("session: ")[1].Trim();
        KvRun got = await nodes.MustKvAsync("get", "cart", "-k", name, "--level", "session", "--session", token, "-o", "raw");
        got.RawOut.Should().Equal("tea"u8.ToArray());
        got.Error.Should().Contain("session: ");
        (await nodes.MustKvAsync("get", "cart", "-k", name, "--level", "bounded", "--max-staleness", "2s", "-o", "raw")).RawOut.Should().Equal("tea"u8.ToArray());

        (await nodes.KvAsync("get", "cart", "-k", name, "--level", "session")).Error.Should().Contain("--session new");
        (await nodes.KvAsync("get", "cart", "-k", name, "--level", "bounded")).Error.Should().Contain("--max-staleness");
        (await nodes.KvAsync("get", "cart", "-k", name, "--session", "no token!")).Error.Should().Contain("no token");
    }

    [Fact]
    public async Task Siblings_are_shown_and_settled_in_their_context()
    {
        string name = await nodes.NewKeyspaceAsync("ap");
        foreach (string value in (string[])["tea", "milk"])
        {
            // An empty context has seen nothing, so neither replaces the other.
            KvNodeAnswer put = await _cluster.ClientOf(1).PutAsync(name, "cart", value, Google.Protobuf.ByteString.Empty);
            put.IsDone.Should().BeTrue(put.Reason);
        }

        KvRun shown = await nodes.MustKvAsync("get", "cart", "-k", name, "--level", "quorum");
        shown.Error.Should().Contain("2 concurrent values");
        JsonElement cart = (await nodes.MustKvAsync("get", "cart", "-k", name, "--level", "quorum", "-o", "json")).Json();
        cart.GetProperty("siblings").EnumerateArray().Select(sibling => sibling.GetProperty("value").GetString()).Should().BeEquivalentTo("tea", "milk");
        cart.GetProperty("regime").GetString().Should().Be("open");

        await nodes.MustKvAsync("put", "cart", "tea, milk", "-k", name, "--context", cart.GetProperty("version").GetString()!);
        JsonElement settled = (await nodes.MustKvAsync("get", "cart", "-k", name, "--level", "quorum", "-o", "json")).Json();
        settled.GetProperty("siblingCount").GetInt32().Should().Be(1);
        settled.GetProperty("value").GetString().Should().Be("tea, milk");
    }

    [Fact]
    public async Task What_the_cluster_refuses_ends_with_4_and_says_what_to_do()
    {
        string name = await nodes.NewKeyspaceAsync("ap");
        KvRun level = await nodes.KvAsync("get", "k", "-k", name, "--level", "linearizable");
        level.Code.Should().Be(ExitCode.Refused, level.Error);
        KvRun condition = await nodes.KvAsync("put", "k", "v", "-k", name, "--if-absent");
        condition.Code.Should().Be(ExitCode.Refused, condition.Error);
        KvRun unknown = await nodes.KvAsync("get", "k", "-k", "nowhere");
        unknown.Code.Should().Be(ExitCode.Refused, unknown.Error);
        unknown.Error.Should().Contain("kv keyspace list");
    }

    [Fact]
    public async Task Without_a_majority_a_write_ends_with_4_and_a_stale_read_still_works()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        await nodes.MustKvAsync("put", "k", "v", "-k", name);
        await _cluster.WaitUntilCaughtUpAsync(name);
        await _cluster.PartitionAsync([1], [2], [3]);
        await _cluster.WaitUntilAsync("every node refuses", async () =>
        {
            foreach (KvTestNode node in _cluster.Nodes)
            {
                if ((await node.Client.GetAsync(name, "k")).Code != Code.NoQuorum)
                {
                    return false;
                }
            }

            return true;
        });

        KvRun refused = await nodes.KvAsync("put", "k", "w", "-k", name, "-o", "json");
        refused.Code.Should().Be(ExitCode.Refused, refused.Error);
        refused.Error.Should().Contain("NoQuorum");
        KvRun stale = await nodes.MustKvAsync("get", "k", "-k", name, "--level", "eventual", "-o", "raw");
        Encoding.UTF8.GetString(stale.RawOut).Should().Be("v");
    }
}

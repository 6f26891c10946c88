using System.Text.Json;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Clusters;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

[Collection(ClusterCollection.Name)]
public sealed class OperatorCommandTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task A_keyspace_is_created_with_its_leaders_and_repeating_it_changes_nothing()
    {
        string name = nodes.NewName("made");
        string[] create = ["keyspace", "create", name, "--policy", "cp", "--replication", "sync", "--shards", "3", "-o", "json"];
        JsonElement created = (await nodes.MustKvAsync(create)).Json();
        created.ValueKind.Should().Be(JsonValueKind.Object, "one keyspace was asked for");
        created.GetProperty("name").GetString().Should().Be(name);
        created.GetProperty("shards").EnumerateArray().Should().HaveCount(3).And.OnlyContain(shard => shard.GetProperty("leaderHint").GetInt32() > 0);
        (await nodes.MustKvAsync(create)).Json().GetProperty("id").GetInt32().Should().Be(created.GetProperty("id").GetInt32());

        KvRun other = await nodes.KvAsync("keyspace", "create", name, "--policy", "ap");
        other.Code.Should().Be(ExitCode.Usage, other.Error);
        other.Error.Should().Contain("exists with other settings");
    }

    [Fact]
    public async Task Keyspaces_are_listed_and_described()
    {
        string cp = await nodes.NewKeyspaceAsync("cp");
        string ap = await nodes.NewKeyspaceAsync("ap");
        KvRun list = await nodes.MustKvAsync("keyspace", "list", "-o", "raw");
        list.Out.Should().Contain($"{cp}\tcp\tsync\t2\t3\t1\t2").And.Contain($"{ap}\tap\tsync\t2\t3\t1\t-");
        (await nodes.MustKvAsync("keyspace", "list", "-o", "json")).Json().EnumerateArray().Select(keyspace => keyspace.GetProperty("name").GetString()).Should().Contain([cp, ap]);

        JsonElement description = (await nodes.MustKvAsync("keyspace", "describe", cp, "-o", "json")).Json();
        description.GetProperty("keyspace").GetProperty("name").GetString().Should().Be(cp);
        description.GetProperty("replicas").EnumerateArray().Should().HaveCount(6, "two shards on three nodes");
        (await nodes.MustKvAsync("keyspace", "describe", cp)).Out.Should().Contain("leader").And.Contain("follower").And.Contain("serves");
        KvRun unknown = await nodes.KvAsync("keyspace", "describe", "nowhere");
        unknown.Code.Should().Be(ExitCode.NotFound, unknown.Error);
    }

    [Fact]
    public async Task A_keyspace_in_use_is_altered_and_the_shards_are_shown_with_their_epochs()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        KvRun altered = await nodes.MustKvAsync("keyspace", "alter", name, "--policy", "ap", "-o", "raw");
        string[] shards = altered.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        shards.Should().HaveCount(2).And.OnlyContain(shard => shard.StartsWith(name, StringComparison.Ordinal) && shard.Contains("\t2\topen\tap\tsync\t"));
        KvRun again = await nodes.MustKvAsync("keyspace", "alter", name, "--policy", "ap", "--no-wait");
        again.Error.Should().Contain("set so already");

        (await nodes.MustKvAsync("keyspace", "list", "-o", "raw")).Out.Should().Contain($"{name}\tap\tsync\t");
        JsonElement described = (await nodes.MustKvAsync("keyspace", "describe", name, "-o", "json")).Json();
        described.GetProperty("replicas").EnumerateArray().Should().OnlyContain(replica => replica.GetProperty("status").GetProperty("epoch").GetString() == "2");
        KvRun unknown = await nodes.KvAsync("keyspace", "alter", "nowhere", "--policy", "ap");
        unknown.Code.Should().Be(ExitCode.NotFound, unknown.Error);
        KvRun contradictory = await nodes.KvAsync("keyspace", "alter", name, "--max-lag", "64MiB");
        contradictory.Code.Should().Be(ExitCode.Usage, contradictory.Error);
        (await nodes.KvAsync("keyspace", "alter", name, "--provisional-after", "3s")).Code.Should().Be(ExitCode.Usage, "it is not adaptive");
        await nodes.MustKvAsync("keyspace", "alter", name, "--policy", "adaptive", "--provisional-after", "3s");
        (await nodes.MustKvAsync("keyspace", "describe", name, "-o", "json")).Json().GetProperty("keyspace").GetProperty("provisionalAfterMs").GetInt32().Should().Be(3_000);
    }

    [Fact]
    public async Task A_keyspace_is_deleted_only_when_its_name_was_typed_or_yes_was_said()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        foreach (string typed in (string[])["", "yes\n", $"{name}-x\n"])
        {
            KvRun refused = await nodes.KvAsync(["keyspace", "delete", name], System.Text.Encoding.UTF8.GetBytes(typed));
            refused.Code.Should().Be(ExitCode.Usage, refused.Error);
            refused.Error.Should().Contain("nothing was deleted");
        }

        await nodes.MustKvAsync("put", "k", "v", "-k", name);
        KvRun confirmed = await nodes.KvAsync(["keyspace", "delete", name, "-o", "raw"], System.Text.Encoding.UTF8.GetBytes($"{name}\n"));
        confirmed.Code.Should().Be(ExitCode.Ok, confirmed.Error);
        confirmed.Out.Should().StartWith($"{name}\t").And.Contain("\tdeleted");
        (await nodes.KvAsync("keyspace", "delete", name, "--yes")).Code.Should().Be(ExitCode.NotFound);
        (await nodes.KvAsync("keyspace", "delete", "_system", "--yes")).Code.Should().Be(ExitCode.Usage);

        await nodes.MustKvAsync("keyspace", "create", name, "--policy", "cp", "--shards", "2");
        (await nodes.KvAsync("get", "k", "-k", name)).Code.Should().Be(ExitCode.NotFound, "it begins empty");
        (await nodes.MustKvAsync("keyspace", "delete", name, "--yes", "-o", "json")).Json().GetProperty("deleted").GetBoolean().Should().BeTrue();
    }

    [Fact]
    public async Task A_shard_is_handed_to_another_leader_and_what_can_not_lead_it_is_named()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        uint before = await _cluster.LeaderOfAsync(name, 1);
        uint wanted = (before % 3) + 1;
        KvRun moved = await nodes.MustKvAsync("leader", "transfer", name, "1", $"{wanted}", "-o", "raw");
        moved.Out.Should().StartWith($"{name}\t1\tdone\t{wanted}\t").And.Contain("\tordered");
        JsonElement again = (await nodes.MustKvAsync("leader", "transfer", name, "1", $"{wanted}", "-o", "json")).Json();
        (again.GetProperty("outcome").GetString(), again.GetProperty("leader").GetInt32()).Should().Be(("OUTCOME_DONE", (int)wanted));

        (await nodes.KvAsync("leader", "transfer", "nowhere", "0", "1")).Code.Should().Be(ExitCode.NotFound);
        KvRun shard = await nodes.KvAsync("leader", "transfer", name, "2", "1");
        shard.Code.Should().Be(ExitCode.Usage, shard.Error);
        shard.Error.Should().Contain("no shard 2");
        KvRun stranger = await nodes.KvAsync("leader", "transfer", name, "0", "9");
        stranger.Code.Should().Be(ExitCode.Usage, stranger.Error);
        stranger.Error.Should().Contain("Node 9 has no replica");
        string open = await nodes.NewKeyspaceAsync("ap");
        await _cluster.LeaderOfAsync(open);
        KvRun opened = await nodes.MustKvAsync("leader", "transfer", open, "0", "2");
        opened.Error.Should().Contain("reads and writes don't go through it");
    }

    [Fact]
    public async Task The_status_shows_every_node_and_on_request_every_replica()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        (await nodes.MustKvAsync("cluster", "status")).Out.Should().Contain("up").And.NotContain("down");
        JsonElement status = (await nodes.MustKvAsync("cluster", "status", "-o", "json")).Json();
        status.EnumerateArray().Should().HaveCount(3).And.OnlyContain(node => node.GetProperty("answers").GetBoolean());
        (await nodes.MustKvAsync("cluster", "status", "--replicas")).Out.Should().Contain(name);
        JsonElement replicas = (await nodes.MustKvAsync("cluster", "status", "--replicas", "-o", "json")).Json();
        replicas.EnumerateArray().Sum(node => node.GetProperty("status").GetProperty("replicas").EnumerateArray().Count(replica => replica.GetProperty("keyspace").GetString() == name)).Should().Be(6);
        (await nodes.MustKvAsync("endpoint", "health")).Out.Should().Contain("serving");
    }

    [Fact]
    public async Task Members_are_listed_and_only_one_that_is_down_is_replaced()
    {
        (await nodes.MustKvAsync("member", "list", "-o", "raw")).Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Should().HaveCount(3)
            .And.OnlyContain(line => line.Contains("\t0\t1\tup\t", StringComparison.Ordinal));
        JsonElement members = (await nodes.MustKvAsync("member", "list", "-o", "json")).Json();
        members.EnumerateArray().Select(member => (member.GetProperty("node").GetInt32(), member.GetProperty("answers").GetBoolean(), member.GetProperty("generation").GetInt32()))
            .Should().Equal((1, true, 0), (2, true, 0), (3, true, 0));
        (await nodes.MustKvAsync("member", "list")).Out.Should().Contain("generation").And.Contain("settled");
        KvRun nobody = await nodes.KvAsync("member", "remove", "9");
        nobody.Code.Should().Be(ExitCode.NotFound, nobody.Error);
        nobody.Error.Should().Contain("Node 9 is no member");
        KvRun twice = await nodes.KvAsync("member", "add", "2=127.0.0.1:9");
        twice.Code.Should().Be(ExitCode.Usage, twice.Error);
        twice.Error.Should().Contain("Node 2 is a member already");

        foreach (string[] replace in (string[][])[["member", "replace"], ["cluster", "replace-node"]])
        {
            KvRun up = await nodes.KvAsync([.. replace, "2"]);
            up.Code.Should().Be(ExitCode.Refused, up.Error);
            up.Error.Should().Contain("is up").And.Contain("Stop it first");
            KvRun stranger = await nodes.KvAsync([.. replace, "9"]);
            stranger.Code.Should().Be(ExitCode.NotFound, stranger.Error);
            stranger.Error.Should().Contain("Node 9 is no member").And.Contain("1, 2, 3");
        }
    }

    [Fact]
    public async Task Faults_are_set_listed_and_healed()
    {
        (await nodes.MustKvAsync("fault", "list")).Out.Should().Contain("No faults");
        (await nodes.MustKvAsync("fault", "cut", "1", "2")).Out.Should().Contain("kv fault heal");
        (await nodes.MustKvAsync("fault", "one-way", "1", "3")).Out.Should().Contain("1 -> 3");
        JsonElement faults = (await nodes.MustKvAsync("fault", "list", "-o", "json")).Json();
        faults.EnumerateArray().Select(fault => (fault.GetProperty("node").GetInt32(), fault.GetProperty("fault").GetProperty("peer").GetInt32())).Should().Contain([(1, 2), (2, 1)]);

        await nodes.MustKvAsync("fault", "isolate", "3");
        string name = nodes.NewName("cut");
        await nodes.MustKvAsync("fault", "heal");
        (await nodes.MustKvAsync("fault", "list")).Out.Should().Contain("No faults");
        await nodes.MustKvAsync("keyspace", "create", name, "--policy", "cp");
        (await nodes.KvAsync("fault", "isolate", "9")).Code.Should().Be(ExitCode.Usage);
    }

    [Theory]
    [InlineData("put", "cp")]
    [InlineData("get", "cp")]
    [InlineData("mixed", "ap")]
    public async Task A_benchmark_measures_prints_and_writes_its_files(string kind, string policy)
    {
        string directory = Directory.CreateTempSubdirectory("kv-bench-").FullName;
        string csv = Path.Combine(directory, "runs.csv");
        string hdr = Path.Combine(directory, "run.hgrm");
        string[] bench = ["bench", kind, "-k", nodes.NewName("bench"), "--create", "--policy", policy, "--operations", "300", "--rate", "2000", "--keys", "50", "--warm-up", "0ms", "--csv", csv, "--hdr", hdr];
        KvRun run = await nodes.MustKvAsync(bench);
        output.WriteLine(run.Out);
        run.Out.Should().Contain("throughput").And.Contain("p99.9").And.MatchRegex(@"not done +0").And.MatchRegex(@"unknown +0");
        await nodes.MustKvAsync(bench);
        File.ReadAllLines(csv).Should().HaveCount(3, "a header and two runs");
        File.ReadAllText(hdr).Should().Contain("Percentile");
        Directory.Delete(directory, recursive: true);
    }
}

using System.Text;
using FluentAssertions;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Watching;

/// <summary>Five nodes that keep little for watches.</summary>
public sealed class NarrowNodes : ThreeNodes
{
    protected override KvTestClusterOptions Options => new() { Nodes = 5, InMemory = true, WatchWindowBytes = 128 * 1_024 };
}

/// <summary>The bounds of watches, and what is said when they are met.</summary>
[Collection(ClusterCollection.Name)]
public sealed class WatchBoundTests(NarrowNodes nodes, ITestOutputHelper output) : IClassFixture<NarrowNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Scenario_48_a_reader_that_falls_behind_is_ended_with_a_place_to_resume_and_what_it_missed_is_a_gap()
    {
        string name = nodes.NewName("slow");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{_cluster.Node(await _cluster.LeaderOfAsync(name)).Address}");
        var client = new Kv.KvClient(channel);
        using AsyncServerStreamingCall<WatchBatch> call = client.Watch(new WatchRequest { Keyspace = name, Prefix = ByteString.Empty });
        var told = new List<WatchEvent>();
        await ReadAsync(call, told, () => told.Count > 0);

        // Nobody reads: what the sockets hold goes first, then the window passes over the reader.
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        string padding = new('x', 20_000);
        int written = 0;
        for (; written < 1_500; written++)
        {
            await keyspace.PutAsync("k", $"{written}:{padding}");
        }

        await ReadAsync(call, told, () => told[^1].Kind == WatchEventKind.Ended);
        WatchEvent ended = told[^1];
        (ended.Code, ended.Position.IsEmpty).Should().Be((Code.WatchBehind, false));
        int[] values = [.. told.Where(each => each.Kind == WatchEventKind.Put).Select(NumberOf)];
        values.Should().Equal(Enumerable.Range(0, values.Length), "up to where it ends nothing is missing");
        values.Length.Should().BeLessThan(written);
        output.WriteLine($"{written} written, {values.Length} told before the end");

        var token = new WatchToken { Cluster = WatchTokens.ClusterMark((await _cluster.Client.GetTopologyAsync()).ClusterId), KeyspaceId = (await KeyspaceAsync(name)).Id };
        token.Parts.Add(new WatchTokenPart { Shard = 0, Position = ended.Position });
        using AsyncServerStreamingCall<WatchBatch> again = client.Watch(new WatchRequest { Keyspace = name, Prefix = ByteString.Empty, Token = token.ToByteString() });
        var resumed = new List<WatchEvent>();
        await ReadAsync(again, resumed, () => resumed.Count > 0);
        resumed[0].Kind.Should().Be(WatchEventKind.Gap, "the hole is told");
        await keyspace.PutAsync("k", $"{written}:last");
        await ReadAsync(again, resumed, () => resumed[^1].Kind == WatchEventKind.Put);
        NumberOf(resumed[^1]).Should().Be(written);
    }

    [Fact]
    public async Task The_client_ends_with_a_token_and_with_initial_values_a_gap_brings_what_is_there()
    {
        string name = nodes.NewName("gap");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Sync, shards: 1);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        string token;
        await using (var first = new WatchReader(keyspace, KvRange.All))
        {
            await UntilAsync("begun", () => first.Token is not null);
            token = first.Token!;
        }

        string padding = new('x', 10_000);
        for (int i = 0; i < 40; i++)
        {
            await keyspace.PutAsync($"k{i % 10}", $"{i}{padding}");
        }

        await using var plain = new WatchReader(keyspace, KvRange.All, new KvWatchOptions { FromToken = token });
        await UntilAsync("the gap is told", () => plain.Gaps == 1);
        plain.Told[0].Should().Be("gap");
        plain.Changes[0].Token.Should().NotBeNull("from there on it can be resumed");

        await using var rereading = new WatchReader(keyspace, KvRange.All, new KvWatchOptions { FromToken = token, InitialValues = true });
        await UntilAsync("all is read again", () => rereading.Told.Contains("caughtup"));
        rereading.Told[0].Should().Be("gap");
        rereading.Changes.Count(change => change.Kind == KvChangeKind.Current).Should().Be(10);
    }

    [Fact]
    public async Task A_node_without_replicas_tells_what_others_have_and_a_whole_keyspace_is_watched_at_any_node()
    {
        string name = nodes.NewName("relay");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 8);
        foreach (KvTestNode node in _cluster.Nodes)
        {
            using GrpcChannel channel = GrpcChannel.ForAddress($"http://{node.Address}");
            using AsyncServerStreamingCall<WatchBatch> call = new Kv.KvClient(channel).Watch(new WatchRequest { Keyspace = name, Prefix = ByteString.Empty });
            var told = new List<WatchEvent>();
            await ReadAsync(call, told, () => told.Select(each => each.Shard).Distinct().Count() == 8);
            for (int i = 0; i < 16; i++)
            {
                await _cluster.Client.Keyspace(name).PutAsync($"{node.Id}-{i}", "x");
            }

            await ReadAsync(call, told, () => told.Count(each => each.Kind == WatchEventKind.Put) == 16);
            told.Where(each => each.Kind == WatchEventKind.Put).Select(each => each.Key.ToStringUtf8()).Should().OnlyHaveUniqueItems();
        }
    }

    [Fact]
    public async Task What_makes_no_sense_is_refused_with_the_reason()
    {
        string name = nodes.NewName("bad");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 2);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await FluentActions.Awaiting(() => FirstAsync(keyspace.WatchAsync<string>(KvRange.All, new KvWatchOptions { FromToken = "no token" }))).Should().ThrowAsync<ArgumentException>();
        FluentActions.Invoking(() => keyspace.WatchAsync<string>(KvRange.All.Behind("k"))).Should().Throw<ArgumentException>();
        FluentActions.Invoking(() => keyspace.WatchAsync<string>(default(KvKey))).Should().Throw<ArgumentException>();

        string other = nodes.NewName("bad");
        await _cluster.CreateKeyspaceAsync(other, PartitionPolicy.Cp, Replication.Sync, shards: 2);
        string foreign;
        await using (var reader = new WatchReader(_cluster.Client.Keyspace(other), KvRange.All))
        {
            await UntilAsync("begun", () => reader.Token is not null);
            foreign = reader.Token!;
        }

        await FluentActions.Awaiting(() => FirstAsync(keyspace.WatchAsync<string>(KvRange.All, new KvWatchOptions { FromToken = foreign }))).Should().ThrowAsync<ArgumentException>().WithMessage("*another keyspace*");
        KvException unknown = (await FluentActions.Awaiting(() => FirstAsync(_cluster.Client.Keyspace("unheard-of").WatchAsync<string>(KvRange.All)))
            .Should().ThrowAsync<KvException>()).Which;
        unknown.Code.Should().Be(KvCode.UnknownKeyspace);

        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{_cluster.Node(1).Address}");
        var client = new Kv.KvClient(channel);
        (await RefusedAsync(client, new WatchRequest { Keyspace = name })).Should().Be(StatusCode.InvalidArgument, "it says neither key nor prefix");
        (await RefusedAsync(client, new WatchRequest { Keyspace = name, Key = ByteString.Empty })).Should().Be(StatusCode.InvalidArgument);
        (await RefusedAsync(client, new WatchRequest { Keyspace = name, Prefix = ByteString.Empty, Shards = { 7 } })).Should().Be(StatusCode.InvalidArgument);
        (await RefusedAsync(client, new WatchRequest { Keyspace = name, Prefix = ByteString.Empty, Token = ByteString.CopyFromUtf8("garbage") })).Should().Be(StatusCode.InvalidArgument);
        (await RefusedAsync(client, new WatchRequest { Keyspace = "", Prefix = ByteString.Empty })).Should().Be(StatusCode.NotFound);
        var token = new WatchToken { Cluster = WatchTokens.ClusterMark((await _cluster.Client.GetTopologyAsync()).ClusterId), KeyspaceId = (await KeyspaceAsync(name)).Id };
        token.Parts.Add(new WatchTokenPart { Shard = 0, Position = ByteString.CopyFromUtf8("garbage") });
        (await RefusedAsync(client, new WatchRequest { Keyspace = name, Prefix = ByteString.Empty, Token = token.ToByteString() })).Should().Be(StatusCode.InvalidArgument);
    }

    private static async Task<StatusCode> RefusedAsync(Kv.KvClient client, WatchRequest request)
    {
        using AsyncServerStreamingCall<WatchBatch> call = client.Watch(request);
        return (await FluentActions.Awaiting(() => call.ResponseStream.MoveNext(TestContext.Current.CancellationToken)).Should().ThrowAsync<RpcException>()).Which.StatusCode;
    }

    private static async Task FirstAsync(IAsyncEnumerable<KvChange<string>> changes)
    {
        await foreach (KvChange<string> _ in changes)
        {
            return;
        }
    }

    private static async Task ReadAsync(AsyncServerStreamingCall<WatchBatch> call, List<WatchEvent> into, Func<bool> until)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!until())
        {
            (await call.ResponseStream.MoveNext(deadline.Token)).Should().BeTrue("the stream goes on");
            into.AddRange(call.ResponseStream.Current.Events);
        }
    }

    private static int NumberOf(WatchEvent told) => int.Parse(Encoding.UTF8.GetString(told.Value.Span).Split(':')[0]);

    private async Task<KvKeyspaceInfo> KeyspaceAsync(string name)
    {
        await UntilAsync("the client knows the keyspace", () => _cluster.Client.Topology?.Keyspaces.Any(keyspace => keyspace.Name == name) ?? false);
        return _cluster.Client.Topology!.Keyspaces.Single(keyspace => keyspace.Name == name);
    }

    private Task UntilAsync(string condition, Func<bool> holds) => _cluster.WaitUntilAsync(condition, () => Task.FromResult(holds()));
}

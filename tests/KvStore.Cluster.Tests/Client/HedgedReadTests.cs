using FluentAssertions;
using KvStore.Client;
using KvStore.Client.Connections;
using KvStore.Client.Operations;
using KvStore.Client.Routing;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

/// <summary>Which replica a read goes to, and when a second one is asked.</summary>
public sealed class HedgedReadTests
{
    [Fact]
    public async Task A_node_that_has_fallen_silent_costs_a_read_little_because_a_second_one_is_asked()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        foreach (FakeNode node in cluster.Nodes)
        {
            node.Script = Found;
        }

        await using KvClient client = await cluster.ConnectAsync(options => options.AttemptTimeout = TimeSpan.FromMinutes(1));
        IKvKeyspace ks = client.Keyspace("ks");
        var eventual = new KvReadOptions { Level = KvReadLevel.Eventual };
        for (int i = 0; i < 60; i++)
        {
            await ks.GetAsync<string>($"warm{i}", eventual);
        }

        cluster.Nodes[2].Script = _ => null;
        int before = cluster.Nodes[2].Received.Count;
        for (int i = 0; cluster.Nodes[2].Received.Count == before && i < 200; i++)
        {
            (await ks.GetAsync<string>($"k{i}", eventual))!.Node.Should().NotBe(3);
        }

        cluster.Nodes[2].Received.Count.Should().BeGreaterThan(before, "it was asked, did not answer, and the read was answered all the same");
    }

    [Fact]
    public async Task Linearizable_reads_and_writes_are_sent_once()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(leader: 1);
        await using KvClient client = await cluster.ConnectAsync();
        IKvKeyspace ks = client.Keyspace("ks");
        var eventual = new KvReadOptions { Level = KvReadLevel.Eventual };
        for (int i = 0; i < 40; i++)
        {
            await ks.GetAsync<string>($"warm{i}", eventual);
        }

        cluster.Nodes[0].Script = _ => null;
        Func<Task> get = async () => await ks.GetAsync<string>("slow", new KvReadOptions { Level = KvReadLevel.Linearizable, Timeout = TimeSpan.FromMilliseconds(300) });
        Func<Task> put = async () => await ks.PutAsync("slow", "v", new KvWriteOptions { Timeout = TimeSpan.FromMilliseconds(300) });
        (await get.Should().ThrowAsync<KvException>()).Which.Code.Should().Be(KvCode.DeadlineExceeded);
        (await put.Should().ThrowAsync<KvException>()).Which.OutcomeUnknown.Should().BeTrue();
        cluster.Received.Count(received => received.Operation.Key.Span.SequenceEqual("slow"u8)).Should().Be(2);
    }

    [Fact]
    public void The_delay_comes_to_rest_where_one_in_twenty_takes_longer_and_the_budget_is_a_tenth()
    {
        var policy = new HedgePolicy(isEnabled: true);
        var random = new Random(5);
        for (int i = 0; i < 20_000; i++)
        {
            policy.Observe(random.NextDouble() * 100);
        }

        policy.DelayMs.Should().BeInRange(80, 100);

        var fresh = new HedgePolicy(isEnabled: true);
        fresh.TrySpend().Should().BeFalse("nothing is saved up");
        for (int i = 0; i < 30; i++)
        {
            fresh.Observe(1);
        }

        Enumerable.Range(0, 10).Count(_ => fresh.TrySpend()).Should().Be(3);
    }

    [Fact]
    public void Of_two_replicas_drawn_at_random_the_better_is_asked()
    {
        var nodes = new Nodes(new Node(1, 1), new Node(2, 1), new Node(3, 50));
        var shard = new Shard();
        shard.Replicas.AddRange(((uint[])[1, 2, 3]).Select(node => new Replica { Node = node, ReplicaId = node }));
        var route = new ShardRoute(shard, new Keyspace(), null);
        var random = new Random(7);
        var asked = new int[4];
        for (int i = 0; i < 300; i++)
        {
            asked[NodeSelector.Choose(nodes, route, RouteKind.Nearest, default, 0, random)!.Node]++;
        }

        asked[1].Should().BeInRange(100, 200);
        asked[2].Should().BeInRange(100, 200);
        asked[3].Should().Be(0, "whoever is drawn with it is better");
    }

    [Fact]
    public void What_was_measured_of_a_slow_node_fades_so_that_it_is_asked_again()
    {
        var time = new FakeTimeProvider();
        KvClientOptions options = new();
        options.Endpoints.Add("http://127.0.0.1:1");
        var dispatcher = new Dispatcher(options, time, new Random(1), (_, _) => throw new InvalidOperationException("Nothing is sent here."));
        var slow = new StreamBacklog(1, dispatcher, 16, 1 << 20);
        slow.OnConnected();
        KvOperation read = dispatcher.Pool.Rent();
        read.DeadlineMs = long.MaxValue;
        read.Wire = new WireOperation { Kind = OperationKind.Get, Key = "k"u8.ToArray() };
        slow.TrySubmit(read, out _).Should().Be(Submission.Accepted);
        slow.TryHandOver(out _);
        time.Advance(TimeSpan.FromSeconds(2));
        using var frame = new FrameBuffer(1_024);
        PipelineCodec.WriteResult(frame, new WireResult { CallId = read.Wire.CallId, Outcome = Outcome.Done, Node = 1 });
        slow.TakeAnswers(frame.WrittenMemory).Should().BeTrue();

        double measured = slow.ExpectedWait;
        time.Advance(TimeSpan.FromSeconds(5));
        slow.ExpectedWait.Should().BeApproximately(measured / 2, measured / 100);
        time.Advance(TimeSpan.FromMinutes(3));
        slow.ExpectedWait.Should().BeLessThan(measured / 1_000);
    }

    private static WireResult? Found(WireOperation operation) => new WireResult { Outcome = Outcome.Done, Found = true, Value = "v"u8.ToArray(), Regime = Regime.Ordered };

    private sealed class Nodes(params IRoutableNode[] nodes) : IRoutableNodes
    {
        public ReadOnlySpan<IRoutableNode> All => nodes;

        public IRoutableNode? Find(uint node) => nodes.FirstOrDefault(known => known.Node == node);
    }

    private sealed record Node(uint Id, double Wait) : IRoutableNode
    {
        uint IRoutableNode.Node => Id;

        public bool IsOpen => true;

        public double ExpectedWait => Wait;

        public bool IsUsable(long nowMs) => true;
    }
}

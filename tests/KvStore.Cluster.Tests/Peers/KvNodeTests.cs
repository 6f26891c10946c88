using System.Net;
using System.Net.Sockets;
using FluentAssertions;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Node.Hosting;
using Microsoft.Extensions.Logging;
using Xunit;
using FaultClient = KvStore.Contracts.V1.Fault.FaultClient;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>The process around a node, in process.</summary>
public sealed class KvNodeTests
{
    private static readonly NodeOptions Options = new() { ClusterId = "demo", NodeId = 1, Port = 0, Engine = StorageEngine.Memory, LogLevel = LogLevel.None };

    [Fact]
    public async Task A_node_serves_until_it_is_stopped_and_frees_its_port()
    {
        await using KvNode node = await KvNode.StartAsync(Options, TestContext.Current.CancellationToken);

        (await ProbeAsync(node)).Should().Be(ExitCodes.Ok);
        await node.StopAsync(TestContext.Current.CancellationToken);

        (await ProbeAsync(node)).Should().Be(ExitCodes.NotServing);
        await using KvNode next = await KvNode.StartAsync(Options with { Port = node.Port }, TestContext.Current.CancellationToken);
        next.Port.Should().Be(node.Port);
    }

    [Fact]
    public async Task A_killed_node_drops_its_connections_and_frees_its_port_at_once()
    {
        KvNode node = await KvNode.StartAsync(Options, TestContext.Current.CancellationToken);
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{node.Address}");
        using AsyncServerStreamingCall<HealthCheckResponse> watch = new Health.HealthClient(channel).Watch(new HealthCheckRequest(), cancellationToken: TestContext.Current.CancellationToken);
        (await watch.ResponseStream.MoveNext(TestContext.Current.CancellationToken)).Should().BeTrue();

        await node.KillAsync();

        await FluentActions.Awaiting(async () =>
        {
            while (await watch.ResponseStream.MoveNext(TestContext.Current.CancellationToken))
            {
            }
        }).Should().ThrowAsync<RpcException>();
        await using KvNode next = await KvNode.StartAsync(Options with { Port = node.Port }, TestContext.Current.CancellationToken);
        next.Port.Should().Be(node.Port);
    }

    [Fact]
    public async Task A_port_in_use_is_told_in_one_sentence()
    {
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;

        ListenFailedException failure = (await FluentActions.Awaiting(() => KvNode.StartAsync(Options with { Port = port }, TestContext.Current.CancellationToken)).Should().ThrowAsync<ListenFailedException>()).Which;

        failure.Message.Should().Be($"Can't listen on 127.0.0.1:{port}: another process already does. Stop it, or choose another --listen.");
        failure.ExitCode.Should().Be(ExitCodes.Unavailable);
    }

    [Fact]
    public async Task An_address_of_another_machine_is_told_in_one_sentence()
    {
        NodeOptions elsewhere = Options with { ListenHost = "203.0.113.7", Port = 7_001 };

        (await FluentActions.Awaiting(() => KvNode.StartAsync(elsewhere, TestContext.Current.CancellationToken)).Should().ThrowAsync<ListenFailedException>())
            .Which.Message.Should().StartWith("Can't listen on 203.0.113.7:7001: ");
    }

    [Fact]
    public async Task Faults_are_refused_unless_they_are_enabled()
    {
        await using KvNode node = await KvNode.StartAsync(Options, TestContext.Current.CancellationToken);
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{node.Address}");
        FaultClient client = new(channel);

        RpcException refusal = (await FluentActions.Awaiting(async () => await client.SetAsync(new SetFaultsRequest())).Should().ThrowAsync<RpcException>()).Which;

        refusal.StatusCode.Should().Be(StatusCode.FailedPrecondition);
        refusal.Status.Detail.Should().Contain("--enable-fault-injection");
    }

    [Fact]
    public async Task Enabled_faults_are_set_listed_and_healed()
    {
        await using KvNode node = await KvNode.StartAsync(Options with { EnableFaultInjection = true }, TestContext.Current.CancellationToken);
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{node.Address}");
        FaultClient client = new(channel);
        LinkFault fault = new() { Peer = 2, CutOutbound = true, DelayMs = 20, Drop = 0.5 };

        await client.SetAsync(new SetFaultsRequest { Links = { fault } }, cancellationToken: TestContext.Current.CancellationToken);

        (await client.ListAsync(new ListFaultsRequest(), cancellationToken: TestContext.Current.CancellationToken)).Links.Should().Equal(fault);
        node.Services.Faults.CutsOutbound(new Core.Identity.NodeId(2)).Should().BeTrue();
        (await client.HealAsync(new HealRequest(), cancellationToken: TestContext.Current.CancellationToken)).Links.Should().BeEmpty();
        RpcException wrong = (await FluentActions.Awaiting(async () => await client.SetAsync(new SetFaultsRequest { Links = { new LinkFault { Peer = 2, Drop = 2 } } })).Should().ThrowAsync<RpcException>()).Which;
        wrong.Status.Should().Match<Status>(status => status.StatusCode == StatusCode.InvalidArgument && status.Detail.Contains("0 to 1"));
    }

    [Fact]
    public async Task Wrong_options_do_not_start()
    {
        await FluentActions.Awaiting(() => KvNode.StartAsync(Options with { NodeId = 0 }, TestContext.Current.CancellationToken)).Should().ThrowAsync<InvalidOptionsException>();
        (await NodeProgram.RunAsync(["--nonsense"])).Should().Be(ExitCodes.Usage);
        (await NodeProgram.RunAsync(["healthcheck", "--address", "nowhere"])).Should().Be(ExitCodes.Usage);
    }

    private static Task<int> ProbeAsync(KvNode node) => NodeProgram.RunAsync(["healthcheck", "--address", node.Address]);
}

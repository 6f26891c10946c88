using System.Net;
using System.Net.Sockets;
using FluentAssertions;
using KvStore.Node.Hosting;
using Xunit;

namespace KvStore.Cluster.Tests.Processes;

/// <summary>The node's program, told something wrong: one clear sentence for each mistake and the documented exit code.</summary>
public sealed class BadStartTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("kvstore-process-").FullName;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("Unknown flag --claster (did you mean --cluster?): see --help.", "--claster", "demo")]
    [InlineData("--listen is '7001': it must be HOST:PORT, such as 127.0.0.1:7001.", "--listen", "7001")]
    [InlineData("--member is 'kv1:7001': it must be ID=HOST:PORT with an id of 1 to 65535, such as 1=127.0.0.1:7001.", "--member", "kv1:7001")]
    [InlineData("--node-id is 'one': it must be a whole number.", "--node-id", "one")]
    [InlineData("--segment-bytes is '64MB': it must be a size such as 268435456, 256MiB or 1GiB.", "--segment-bytes", "64MB")]
    [InlineData("--data needs a value: --data DIRECTORY.", "--data")]
    public async Task A_malformed_flag_is_named_with_what_it_must_be(string sentence, params string[] arguments)
    {
        using NodeProcess node = NodeProcess.Start(arguments);

        (await node.EndAsync(Cancellation)).Should().Be((ExitCodes.Usage, sentence));
    }

    [Fact]
    public async Task What_is_left_out_is_asked_for_all_at_once()
    {
        using NodeProcess node = NodeProcess.Start();

        (int code, string errors) = await node.EndAsync(Cancellation);

        code.Should().Be(ExitCodes.Usage);
        errors.Split(Environment.NewLine).Should().HaveCount(3).And.Contain(line => line.Contains("--cluster NAME")).And.Contain(line => line.Contains("--node-id N"))
            .And.Contain(line => line.Contains("--data DIRECTORY"));
    }

    [Fact]
    public async Task A_port_in_use_is_told_and_a_later_start_on_another_finds_the_directory_usable()
    {
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        using NodeProcess node = NodeProcess.Start(NodeProcess.Flags(_directory, port));

        (await node.EndAsync(Cancellation)).Should().Be((ExitCodes.Unavailable, $"Can't listen on 127.0.0.1:{port}: another process already does. Stop it, or choose another --listen."));

        using NodeProcess next = NodeProcess.Start(NodeProcess.Flags(_directory, NodeProcess.FreePort()));
        await next.ReadyAsync(Cancellation);
    }

    [Fact]
    public async Task A_data_directory_that_is_a_file_is_told()
    {
        string file = Path.Combine(_directory, "file");
        await File.WriteAllTextAsync(file, "kept", Cancellation);
        using NodeProcess node = NodeProcess.Start(NodeProcess.Flags(file, NodeProcess.FreePort()));

        (int code, string errors) = await node.EndAsync(Cancellation);

        code.Should().Be(ExitCodes.DataDirectory, errors);
        errors.Should().Contain(file).And.NotContain("\n");
        (await File.ReadAllTextAsync(file, Cancellation)).Should().Be("kept");
    }

    [Fact]
    public async Task Peers_that_can_not_be_reached_are_told_and_waited_for()
    {
        int port = NodeProcess.FreePort();
        using NodeProcess node = NodeProcess.Start(
            [.. NodeProcess.Flags(_directory, port), "--member", $"1=127.0.0.1:{port}", "--member", "2=127.0.0.1:9", "--member", "3=no-such-host.invalid:7003"]);

        await node.LoggedAsync("listens on", Cancellation);
        await node.LoggedAsync("Can't reach n2 (127.0.0.1:9)", Cancellation);
        await node.LoggedAsync("Can't reach n3 (no-such-host.invalid:7003)", Cancellation);

        node.HasExited.Should().BeFalse();
        node.Errors.Should().BeEmpty();
    }
}

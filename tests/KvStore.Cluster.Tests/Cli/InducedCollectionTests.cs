using System.Net.Sockets;
using FluentAssertions;
using KvStore.Cli.Bench.Rig;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>The benchmark of memory has the nodes collect their garbage before it reads.</summary>
public sealed class InducedCollectionTests
{
    [Fact]
    public async Task A_process_collects_though_a_dead_one_of_the_same_number_left_its_port_behind()
    {
        using var first = DeadPort("0");
        using var last = DeadPort("9999999999");
        int before = GC.CollectionCount(GC.MaxGeneration);

        await InducedCollection.RunAsync(Environment.ProcessId, TestContext.Current.CancellationToken);

        GC.CollectionCount(GC.MaxGeneration).Should().BeGreaterThan(before);
    }

    [Fact]
    public async Task Ports_that_take_no_connection_are_told_with_the_reason()
    {
        // Above the highest process number of Linux (2^22), so that it is nobody's.
        const int Nobody = 5_000_000;
        using var dead = DeadPort("1", Nobody);

        Func<Task> collect = () => InducedCollection.RunAsync(Nobody, TestContext.Current.CancellationToken);

        (await collect.Should().ThrowAsync<IOException>()).WithMessage("*does not answer: *refused*");
    }

    /// <summary>Bound, and nobody listens: what is left of a process that was killed. It is deleted when disposed of.</summary>
    private static Socket DeadPort(string start, int? pid = null)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(Path.Combine(Path.GetTempPath(), $"dotnet-diagnostic-{pid ?? Environment.ProcessId}-{start}-socket")));
        return socket;
    }
}

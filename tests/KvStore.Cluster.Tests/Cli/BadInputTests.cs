using System.Net;
using System.Net.Sockets;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Contracts;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>Whatever is typed wrongly ends with the right code and one sentence that names the mistake: never a stack trace, never a connection attempt.</summary>
public sealed class BadInputTests
{
    private static readonly string LongKey = new('k', KvLimits.MaxKeyBytes + 1);

    private static readonly string HugeValue = new('v', KvLimits.MaxValueBytes + 1);

    public static TheoryData<string, string[], ExitCode> Table { get; } = new()
    {
        { "command", [], ExitCode.Usage },
        { "frobnicate", ["frobnicate"], ExitCode.Usage },
        { "--colour", ["get", "a", "-k", "x", "--colour"], ExitCode.Usage },
        { "soon", ["get", "a", "-k", "x", "--timeout", "soon"], ExitCode.Usage },
        { "out of bounds", ["get", "a", "-k", "x", "--timeout", "2h"], ExitCode.Usage },
        { "output format", ["get", "a", "-k", "x", "-o", "xml"], ExitCode.Usage },
        { "read level", ["get", "a", "-k", "x", "--level", "strongish"], ExitCode.Usage },
        { "key is empty", ["get", "", "-k", "x"], ExitCode.Usage },
        { "4,097 bytes", ["get", LongKey, "-k", "x"], ExitCode.Usage },
        { "No keyspace is named", ["get", "a"], ExitCode.Usage },
        { "not an endpoint", ["get", "a", "-k", "x", "-e", "ftp://somewhere"], ExitCode.Usage },
        { "No value is given", ["put", "a", "-k", "x"], ExitCode.Usage },
        { "1,048,577 bytes", ["put", "a", HugeValue, "-k", "x"], ExitCode.Usage },
        { "--file contradict", ["put", "a", "b", "--file", "c", "-k", "x"], ExitCode.Usage },
        { "does not exist", ["put", "a", "--file", "/nowhere/at/all", "-k", "x"], ExitCode.NoInput },
        { "is a directory", ["put", "a", "--file", "/tmp", "-k", "x"], ExitCode.NoInput },
        { "--if-version and --if-absent contradict", ["put", "a", "b", "-k", "x", "--if-version", "aa", "--if-absent"], ExitCode.Usage },
        { "--if-version and --context contradict", ["del", "a", "-k", "x", "--if-version", "aa", "--context", "bb"], ExitCode.Usage },
        { "'zz' (--if-version) is not a version", ["put", "a", "b", "-k", "x", "--if-version", "zz"], ExitCode.Usage },
        { "'12x' (EXPECTED-VERSION) is not a version", ["cas", "a", "12x", "b", "-k", "x"], ExitCode.Usage },
        { "whole number", ["scan", "-k", "x", "--limit", "0"], ExitCode.Usage },
        { "can't be the name", ["keyspace", "create", "Orders", "--policy", "cp"], ExitCode.Usage },
        { "No partition policy", ["keyspace", "create", "orders"], ExitCode.Usage },
        { "not a partition policy", ["keyspace", "create", "orders", "--policy", "ca"], ExitCode.Usage },
        { "What can be required is 'strong'", ["get", "a", "-k", "x", "--require", "much"], ExitCode.Usage },
        { "not a replication", ["keyspace", "create", "orders", "--policy", "cp", "--replication", "psync"], ExitCode.Usage },
        { "Durability memory is for ap keyspaces", ["keyspace", "create", "orders", "--policy", "cp", "--durability", "memory"], ExitCode.Usage },
        { "'soon' is not a time", ["keyspace", "create", "orders", "--policy", "ap", "--ttl", "soon"], ExitCode.Usage },
        { "The time 0s is out of bounds; give 1ms to 3650d", ["put", "k", "v", "-k", "orders", "--ttl", "0s"], ExitCode.Usage },
        { "The time 4000d is out of bounds; give 1ms to 3650d", ["put", "k", "v", "-k", "orders", "--ttl", "4000d"], ExitCode.Usage },
        { "'1.5' is not a whole number of 64 bits", ["incr", "k", "-k", "orders", "--by", "1.5"], ExitCode.Usage },
        { "from 1 to 1024", ["keyspace", "create", "orders", "--policy", "cp", "--shards", "5000"], ExitCode.Usage },
        { "Nothing is to be altered", ["keyspace", "alter", "orders"], ExitCode.Usage },
        { "not a partition policy", ["keyspace", "alter", "orders", "--policy", "pa"], ExitCode.Usage },
        { "Required argument", ["keyspace", "delete", "--yes"], ExitCode.Usage },
        { "whole number from 0 to 1023", ["leader", "transfer", "orders", "first", "2"], ExitCode.Usage },
        { "whole number from 1 to 65535", ["leader", "transfer", "orders", "0", "0"], ExitCode.Usage },
        { "whole number from 1 to 65535", ["member", "replace", "third"], ExitCode.Usage },
        { "Required argument", ["member", "replace"], ExitCode.Usage },
        { "give ID=HOST:PORT", ["member", "add", "4"], ExitCode.Usage },
        { "whole number from 1 to 65535", ["member", "remove", "fourth"], ExitCode.Usage },
        { "whole number", ["bench", "failover", "--rounds", "many"], ExitCode.Usage },
        { "is not a node", ["fault", "cut", "one", "2"], ExitCode.Usage },
        { "can't be cut off from itself", ["fault", "cut", "1", "1,2"], ExitCode.Usage },
        { "--duration and --operations contradict", ["bench", "put", "-k", "x", "--duration", "1s", "--operations", "5"], ExitCode.Usage },
        { "only matter with --create", ["bench", "put", "-k", "x", "--policy", "cp"], ExitCode.Usage },
        { "whole number from 1", ["bench", "get", "-k", "x", "--concurrency", "-4"], ExitCode.Usage },
        { "1 to 9", ["up", "--nodes", "0"], ExitCode.Usage },
        { "papyrus", ["up", "--engine", "papyrus"], ExitCode.Usage },
        { "meteorite", ["demo", "--scenario", "meteorite"], ExitCode.Usage },
        { "does not exist", ["history", "check", "/nowhere/at/all.log"], ExitCode.NoInput },
    };

    [Theory]
    [MemberData(nameof(Table))]
    public async Task Bad_input_is_refused_in_one_sentence(string sentence, string[] arguments, ExitCode code)
    {
        var run = await KvRun.Of(arguments);

        run.Error.TrimEnd().Should().Contain(sentence).And.StartWith("kv: ").And.NotContain("\n").And.NotContain("   at ");
        run.Code.Should().Be(code);
        run.Out.Should().BeEmpty();
    }

    [Fact]
    public async Task A_value_from_standard_input_that_is_too_large_is_refused_before_connecting()
    {
        var run = await KvRun.Of(["put", "a", "-", "-k", "x"], input: new byte[KvLimits.MaxValueBytes + 1]);

        run.Code.Should().Be(ExitCode.Usage);
        run.Error.Should().Contain("more than 1,048,576 bytes");
    }

    public static TheoryData<string[]> NeedACluster { get; } = new()
    {
        (string[])["get", "a", "-k", "x"],
        (string[])["put", "a", "b", "-k", "x"],
        (string[])["del", "a", "-k", "x"],
        (string[])["scan", "-k", "x"],
        (string[])["keyspace", "list"],
        (string[])["cluster", "status"],
        (string[])["member", "list"],
        (string[])["leader", "transfer", "orders", "0", "2"],
        (string[])["keyspace", "delete", "orders", "--yes"],
        (string[])["fault", "heal"],
        (string[])["bench", "put", "-k", "x", "--create", "--policy", "cp"],
        (string[])["endpoint", "health"],
    };

    [Theory]
    [MemberData(nameof(NeedACluster))]
    public async Task An_endpoint_that_nobody_listens_on_ends_with_69(string[] arguments)
    {
        var run = await KvRun.Of([.. arguments, "--endpoint", $"127.0.0.1:{UnusedPort()}", "--timeout", "500ms"]);

        run.Code.Should().Be(ExitCode.Unavailable, run.Error);
        run.Error.Should().NotContain("   at ");
        (run.Error + run.Out).Should().NotBeEmpty();
    }

    [Fact]
    public async Task A_port_in_use_ends_with_69_and_names_it()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        var directory = Directory.CreateTempSubdirectory("kv-up-").FullName;

        var run = await KvRun.Of("up", "--nodes", "1", "--port", $"{port}", "--data", directory, "--background");

        run.Code.Should().Be(ExitCode.Unavailable);
        run.Error.Should().Contain($"Port {port}").And.Contain("--port");
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task A_directory_of_another_cluster_is_refused()
    {
        var directory = Directory.CreateTempSubdirectory("kv-up-").FullName;
        await File.WriteAllTextAsync(
            Path.Combine(directory, "cluster.json"), """{"cluster":"local-1","nodes":5,"port":7001,"engine":"rocksdb"}""", TestContext.Current.CancellationToken);

        var run = await KvRun.Of("up", "--nodes", "3", "--data", directory);

        run.Code.Should().Be(ExitCode.Usage);
        run.Error.Should().Contain("nodes is 5, not 3").And.Contain("--data");
        Directory.Delete(directory, recursive: true);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("get", "--help")]
    [InlineData("bench", "put", "--help")]
    [InlineData("keyspace", "create", "-h")]
    public async Task Help_shows_how_to_use_it_and_ends_with_0(params string[] arguments)
    {
        var run = await KvRun.Of(arguments);

        run.Code.Should().Be(ExitCode.Ok);
        run.Out.Should().Contain("Usage:").And.MatchRegex("Examples:|Exit codes:");
    }

    private static int UnusedPort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}

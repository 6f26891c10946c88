using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Node.Hosting;
using KvStore.Node.Peers;
using Microsoft.Extensions.Logging;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>What a node is told at its start, and what it says when that won't do.</summary>
public sealed class NodeOptionsTests
{
    private static readonly IReadOnlyDictionary<string, string> NoVariables = new Dictionary<string, string>();

    private static readonly NodeOptions Good = new() { ClusterId = "demo", NodeId = 1, Engine = StorageEngine.Memory };

    [Fact]
    public void A_full_command_line_is_understood()
    {
        NodeOptions options = Parse(
            "--node-id 2 --cluster demo --listen 127.0.0.1:7002 --advertise kv2:7002 --member 1=kv1:7001 --member 2=kv2:7002 --data /d --engine memory --shard-loops 2 "
            + "--heartbeat-ms=100 --election-min-ms 1000 --election-max-ms 2000 --table-bytes 64MiB --segment-bytes 4MiB --retained-log-bytes 1GiB --low-space-bytes 0 --log-level debug "
            + "--log-format json --enable-fault-injection --fault-seed 9");

        options.Should().BeEquivalentTo(new NodeOptions
        {
            NodeId = 2,
            ClusterId = "demo",
            ListenHost = "127.0.0.1",
            Port = 7_002,
            AdvertisedAddress = "kv2:7002",
            Members = [new PeerAddress(new NodeId(1), "kv1:7001"), new PeerAddress(new NodeId(2), "kv2:7002")],
            DataDirectory = "/d",
            Engine = StorageEngine.Memory,
            ShardLoops = 2,
            HeartbeatInterval = TimeSpan.FromMilliseconds(100),
            ElectionTimeoutMin = TimeSpan.FromSeconds(1),
            ElectionTimeoutMax = TimeSpan.FromSeconds(2),
            TableBytes = 64 << 20,
            SegmentBytes = 4 << 20,
            RetainedLogBytes = 1 << 30,
            LowSpaceBytes = 0,
            LogLevel = LogLevel.Debug,
            LogFormat = LogFormat.Json,
            EnableFaultInjection = true,
            FaultSeed = 9,
        });
        NodeOptionsValidation.Problems(options).Should().BeEmpty();
    }

    [Fact]
    public void Flags_win_over_variables_and_variables_over_defaults()
    {
        Dictionary<string, string> variables = new()
        {
            ["KV_NODE_ID"] = "3",
            ["KV_CLUSTER"] = "from-variable",
            ["KV_MEMBER"] = "1=a:7001, 3=b:7001",
            ["KV_ENABLE_FAULT_INJECTION"] = "true",
            ["KV_PORT"] = "tcp://10.0.0.1:80",
        };

        NodeOptions options = NodeCommandLine.Parse(["--cluster", "from-flag"], variables);

        (options.NodeId, options.ClusterId, options.Members.Count, options.EnableFaultInjection, options.Port).Should().Be((3u, "from-flag", 2, true, 7_001));
    }

    [Theory]
    [InlineData("--nod-id 1", "Unknown flag --nod-id (did you mean --node-id?): see --help.")]
    [InlineData("--xyzzy 1", "Unknown flag --xyzzy: see --help.")]
    [InlineData("stray", "'stray' stands alone: flags begin with --, and each takes one value.")]
    [InlineData("--node-id", "--node-id needs a value: --node-id N.")]
    [InlineData("--node-id --cluster x", "--node-id needs a value: --node-id N.")]
    [InlineData("--node-id one", "--node-id is 'one': it must be a whole number.")]
    [InlineData("--node-id=", "--node-id is '': it is empty.")]
    [InlineData("--node-id 1 --node-id 2", "--node-id is given twice: keep one.")]
    [InlineData("--listen 7001", "--listen is '7001': it must be HOST:PORT, such as 127.0.0.1:7001.")]
    [InlineData("--listen a:99999", "--listen is 'a:99999': it must be HOST:PORT, such as 127.0.0.1:7001.")]
    [InlineData("--member kv1:7001", "--member is 'kv1:7001': it must be ID=HOST:PORT with an id of 1 to 65535, such as 1=127.0.0.1:7001.")]
    [InlineData("--member 0=kv1:7001", "--member is '0=kv1:7001': it must be ID=HOST:PORT with an id of 1 to 65535, such as 1=127.0.0.1:7001.")]
    [InlineData("--down-phi high", "--down-phi is 'high': it must be a number such as 8 or 2.5.")]
    [InlineData("--engine floppy", "--engine is 'floppy': it must be one of rocksdb, memory.")]
    [InlineData("--engine 1", "--engine is '1': it must be one of rocksdb, memory.")]
    [InlineData("--table-bytes 1TiB", "--table-bytes is '1TiB': it must be a size such as 268435456, 256MiB or 1GiB.")]
    [InlineData("--enable-fault-injection=maybe", "--enable-fault-injection is 'maybe': it must be true or false.")]
    public void A_malformed_flag_is_named_with_the_way_out(string arguments, string sentence)
    {
        FluentActions.Invoking(() => Parse(arguments)).Should().Throw<InvalidOptionsException>().Which.Problems.Should().Equal(sentence);
    }

    [Fact]
    public void All_problems_are_told_at_once()
    {
        FluentActions.Invoking(() => Parse("--nod-id 1 --listen x --engine y")).Should().Throw<InvalidOptionsException>().Which.Problems.Should().HaveCount(3);
    }

    [Fact]
    public void A_malformed_variable_is_named()
    {
        Dictionary<string, string> variables = new() { ["KV_NODE_ID"] = "x" };

        FluentActions.Invoking(() => NodeCommandLine.Parse([], variables)).Should().Throw<InvalidOptionsException>().WithMessage("KV_NODE_ID is 'x': it must be a whole number.");
    }

    [Fact]
    public void Good_options_have_no_problems() => NodeOptionsValidation.Problems(Good).Should().BeEmpty();

    public static TheoryData<string, NodeOptions> Bad => new()
    {
        { "The cluster has no name", Good with { ClusterId = "" } },
        { "The cluster name 'Demo!' won't do", Good with { ClusterId = "Demo!" } },
        { "The node has no id", Good with { NodeId = 0 } },
        { "The node id 65536 is too large", Good with { NodeId = 65_536 } },
        { "The port 70000 doesn't exist", Good with { Port = 70_000 } },
        { "Can't listen on 'kv1'", Good with { ListenHost = "kv1" } },
        { "must say how it is reached", Good with { ListenHost = "*" } },
        { "The advertised address 'kv1' won't do", Good with { AdvertisedAddress = "kv1" } },
        { "The advertised address '*:7001' won't do", Good with { AdvertisedAddress = "*:7001" } },
        { "Node 1 is named twice", Good with { Members = [Member(1, "a:1"), Member(1, "b:1")] } },
        { "Member 2 has the address 'b'", Good with { Members = [Member(1, "a:1"), Member(2, "b")] } },
        { "Two members have the address A:1", Good with { Members = [Member(1, "a:1"), Member(2, "A:1")] } },
        { "Node 1 is missing among its own members", Good with { Members = [Member(2, "b:1")] } },
        { "can't listen on any free port", Good with { Port = 0, Members = [Member(1, "a:1"), Member(2, "b:1")] } },
        { "The heartbeat interval of 1 ms won't do", Good with { HeartbeatInterval = TimeSpan.FromMilliseconds(1) } },
        { "A forgiven pause of 10001 ms won't do", Good with { HeartbeatPause = TimeSpan.FromMilliseconds(10_001) } },
        { "The suspicions 3 (suspect) and 3.25 (down) won't do", Good with { DownPhi = 3.25 } },
        { "The suspicions NaN (suspect) and 8 (down) won't do", Good with { SuspectPhi = double.NaN } },
        { "The suspicions 3 (suspect) and 101 (down) won't do", Good with { DownPhi = 101 } },
        { "A longest hold-down of 0 ms won't do", Good with { MaxHoldDown = TimeSpan.Zero } },
        { "The election timeout of 100 ms is too short", Good with { ElectionTimeoutMin = TimeSpan.FromMilliseconds(100) } },
        { "are too close to each other", Good with { ElectionTimeoutMax = TimeSpan.FromMilliseconds(400) } },
        { "0 shard loops won't do", Good with { ShardLoops = 0 } },
        { "then add --accept-data-loss", Good with { Members = [Member(1, "a:1"), Member(2, "b:1")], RecoverWithout = [new NodeId(2)] } },
        { "--accept-data-loss alone recovers nothing", Good with { AcceptDataLoss = true } },
        { "Can't recover without node 1", Good with { Members = [Member(1, "a:1"), Member(2, "b:1")], RecoverWithout = [new NodeId(1)], AcceptDataLoss = true } },
        { "The node has no data directory", Good with { Engine = StorageEngine.RocksDb } },
        { "A table of 1 bytes is too small", Good with { TableBytes = 1 } },
        { "Log segments of 1 bytes won't do", Good with { SegmentBytes = 1 } },
        { "A retained log of 1 bytes is too small", Good with { RetainedLogBytes = 1 } },
        { "The low-space bound can't be negative", Good with { LowSpaceBytes = -1 } },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void Each_violation_is_one_sentence(string sentence, NodeOptions options)
    {
        NodeOptionsValidation.Problems(options).Should().ContainSingle().Which.Should().Contain(sentence).And.EndWith(".");
    }

    [Fact]
    public void The_help_names_every_flag_and_exit_code()
    {
        NodeCommandLine.Help().Should().ContainAll("--node-id N", "--member ID=HOST:PORT", "--enable-fault-injection", "healthcheck", "KV_NODE_ID", "Exit codes: 0", "64", "65", "69", "70", "74", "75");
    }

    private static PeerAddress Member(uint node, string address) => new(new NodeId(node), address);

    private static NodeOptions Parse(string arguments) => NodeCommandLine.Parse(arguments.Split(' '), NoVariables);
}

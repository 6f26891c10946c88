using System.Globalization;
using KvStore.Core.Identity;
using KvStore.Node.Peers;

namespace KvStore.Node.Hosting;

/// <summary>One setting: its flag, its variable (KV_ and the flag's name in capitals), its help, and what it does to the options.</summary>
/// <param name="Value">What stands behind the flag in the help; empty for a switch.</param>
/// <param name="Repeats">May be given several times; in a variable, separated by commas.</param>
/// <param name="Apply">Returns the options with the value in place.</param>
internal sealed record NodeFlag(string Name, string Value, string Help, Func<NodeOptions, string, NodeOptions> Apply, bool Repeats = false)
{
    public string Variable => "KV_" + Name.ToUpperInvariant().Replace('-', '_');

    public bool IsSwitch => Value.Length == 0;

    /// <summary>In the order of the help.</summary>
    public static IReadOnlyList<NodeFlag> All { get; } =
    [
        new("node-id", "N", "This node, 1 to 65535. Never reuse an id for another data directory.", (o, v) => o with { NodeId = (uint)Number(v, 0, uint.MaxValue) }),
        new("generation", "N", "Which successor under its id this node is (0); 'kv cluster replace-node' says which.", (o, v) => o with { Generation = (uint)Number(v, 0, ushort.MaxValue) }),
        new("cluster", "NAME", "The cluster's name, the same on all its nodes.", (o, v) => o with { ClusterId = v }),
        new("listen", "HOST:PORT", "Where to listen (127.0.0.1:7001). HOST may be * for all addresses, PORT 0 for any.", Listen),
        new("http", "HOST:PORT", "Where to listen for HTTP/1.1: REST, health, metrics (nowhere).", Http),
        new("advertise", "HOST:PORT", "Where clients and peers reach this node (as among the members).", (o, v) => o with { AdvertisedAddress = v }),
        new("member", "ID=HOST:PORT", "One node of the cluster; repeat for each, this one included.", Member, Repeats: true),
        new("join", "HOST:PORT", "A member of the cluster that this node was added to ('kv member add'), instead of --member; repeat for more.", (o, v) => o with { Join = [.. o.Join, v] }, Repeats: true),
        new("data", "DIRECTORY", "The data directory of this node.", (o, v) => o with { DataDirectory = v }),
        new("recover-without", "ID", "UNSAFE: this node is lost for good; shards without a majority go on here alone. Repeat for each.", RecoverWithout, Repeats: true),
        new("accept-data-loss", "", "What --recover-without asks for, once you know what it costs (docs/operations.md).", (o, v) => o with { AcceptDataLoss = Truth(v) }),
        new("engine", "rocksdb|memory", "Where data lives (rocksdb).", (o, v) => o with { Engine = Choice<StorageEngine>(v) }),
        new("shard-loops", "N", "Threads of work for shards, 1 to 64 (1).", (o, v) => o with { ShardLoops = (int)Number(v, int.MinValue, int.MaxValue) }),
        new("heartbeat-ms", "MS", "Between heartbeats (50).", (o, v) => o with { HeartbeatInterval = Milliseconds(v) }),
        new("heartbeat-pause-ms", "MS", "A longer silence than usual by this much is forgiven (200).", (o, v) => o with { HeartbeatPause = Milliseconds(v) }),
        new("suspect-phi", "PHI", "From this suspicion on a peer is suspect (3).", (o, v) => o with { SuspectPhi = Real(v) }),
        new("down-phi", "PHI", "From this suspicion on a peer is down (8).", (o, v) => o with { DownPhi = Real(v) }),
        new("max-hold-down-ms", "MS", "Longest wait before a peer that comes and goes is believed again (4000).", (o, v) => o with { MaxHoldDown = Milliseconds(v) }),
        new("election-min-ms", "MS", "Shortest election timeout (400).", (o, v) => o with { ElectionTimeoutMin = Milliseconds(v) }),
        new("election-max-ms", "MS", "Longest election timeout (700).", (o, v) => o with { ElectionTimeoutMax = Milliseconds(v) }),
        new("max-clock-drift-ms", "MS", "How far clocks may disagree before puts of last-writer-wins keyspaces are refused (500).", (o, v) => o with { MaxClockDrift = Milliseconds(v) }),
        new("table-bytes", "SIZE", "Memory for the table of objects (256MiB).", (o, v) => o with { TableBytes = Size(v) }),
        new("segment-bytes", "SIZE", "One segment of the log (64MiB).", (o, v) => o with { SegmentBytes = Size(v) }),
        new("retained-log-bytes", "SIZE", "Log kept before a flush is forced (1GiB).", (o, v) => o with { RetainedLogBytes = Size(v) }),
        new("overlay-bytes", "SIZE", "Provisional writes that one shard keeps until they are merged (64MiB).", (o, v) => o with { OverlayBytes = Size(v) }),
        new("overlay-max-age-s", "S", "No more of them while the oldest has waited this long (86400).", (o, v) => o with { OverlayMaxAge = TimeSpan.FromSeconds(Number(v, 0, int.MaxValue)) }),
        new("watch-window-bytes", "SIZE", "Recent changes kept for watches; 0: no watches (64MiB).", (o, v) => o with { WatchWindowBytes = Size(v) }),
        new("max-watches", "N", "Watches that this node serves at a time (20000).", (o, v) => o with { MaxWatches = (int)Number(v, int.MinValue, int.MaxValue) }),
        new("low-space-bytes", "SIZE", "Free space below which writes are refused (512MiB).", (o, v) => o with { LowSpaceBytes = Size(v) }),
        new("log-level", "LEVEL", "trace, debug, information, warning, error, critical or none (information).", (o, v) => o with { LogLevel = Choice<LogLevel>(v) }),
        new("log-format", "text|json", "How log lines look (text).", (o, v) => o with { LogFormat = Choice<LogFormat>(v) }),
        new("enable-fault-injection", "", "Let operators cut and disturb this node's links. For tests only.", (o, v) => o with { EnableFaultInjection = Truth(v) }),
        new("fault-seed", "N", "Seed for the chances of injected faults (1).", (o, v) => o with { FaultSeed = (int)Number(v, int.MinValue, int.MaxValue) }),
    ];

    private static NodeOptions Listen(NodeOptions options, string value) =>
        NodeOptionsValidation.TrySplit(value, out string host, out int port)
            ? options with { ListenHost = host, Port = port }
            : throw new FormatException("it must be HOST:PORT, such as 127.0.0.1:7001");

    private static NodeOptions Http(NodeOptions options, string value) =>
        NodeOptionsValidation.TrySplit(value, out string host, out int port)
            ? options with { HttpHost = host, HttpPort = port }
            : throw new FormatException("it must be HOST:PORT, such as 127.0.0.1:8001");

    private static NodeOptions Member(NodeOptions options, string value)
    {
        int equals = value.IndexOf('=');
        return equals > 0 && uint.TryParse(value.AsSpan(0, equals), NumberStyles.None, CultureInfo.InvariantCulture, out uint id) && id is > 0 and <= NodeId.Max
            ? options with { Members = [.. options.Members, new PeerAddress(new NodeId(id), value[(equals + 1)..].Trim())] }
            : throw new FormatException("it must be ID=HOST:PORT with an id of 1 to 65535, such as 1=127.0.0.1:7001");
    }

    private static NodeOptions RecoverWithout(NodeOptions options, string value) =>
        options with { RecoverWithout = [.. options.RecoverWithout, new NodeId((uint)Number(value, 1, NodeId.Max))] };

    private static long Number(string value, long min, long max) =>
        long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) && number >= min && number <= max
            ? number
            : throw new FormatException("it must be a whole number");

    private static double Real(string value) =>
        double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number) ? number : throw new FormatException("it must be a number such as 8 or 2.5");

    private static TimeSpan Milliseconds(string value) => TimeSpan.FromMilliseconds(Number(value, 0, int.MaxValue));

    private static long Size(string value)
    {
        ReadOnlySpan<char> digits = value.AsSpan().TrimEnd("KMGiB");
        long unit = value[digits.Length..] switch
        {
            "" or "B" => 1,
            "KiB" or "K" => 1L << 10,
            "MiB" or "M" => 1L << 20,
            "GiB" or "G" => 1L << 30,
            _ => 0,
        };
        return unit != 0 && long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number <= long.MaxValue / unit
            ? number * unit
            : throw new FormatException("it must be a size such as 268435456, 256MiB or 1GiB");
    }

    private static T Choice<T>(string value)
        where T : struct, Enum => Enum.TryParse(value, ignoreCase: true, out T choice) && Enum.IsDefined(choice) && !char.IsAsciiDigit(value[0])
            ? choice
            : throw new FormatException($"it must be one of {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}");

    private static bool Truth(string value) => value.ToLowerInvariant() switch
    {
        "" or "true" or "1" or "yes" => true,
        "false" or "0" or "no" => false,
        _ => throw new FormatException("it must be true or false"),
    };
}

using System.Net;
using KvStore.Contracts;
using KvStore.Node.Peers;

namespace KvStore.Node.Hosting;

/// <summary>What is wrong with options, each violation as one sentence that says what to do.</summary>
public static class NodeOptionsValidation
{
    private const long MiB = 1_048_576;

    /// <exception cref="InvalidOptionsException">With all problems at once.</exception>
    public static void ThrowIfInvalid(NodeOptions options)
    {
        List<string> problems = [.. Problems(options)];
        if (problems.Count > 0)
        {
            throw new InvalidOptionsException(problems);
        }
    }

    public static IEnumerable<string> Problems(NodeOptions options) => Identity(options).Concat(Addresses(options)).Concat(Members(options)).Concat(Recovery(options)).Concat(Times(options)).Concat(Storage(options));

    /// <summary>Whether it is "host:port" with a port that one can connect to.</summary>
    public static bool IsAddress(string address) => TrySplit(address, out string host, out int port) && port != 0 && host != "*";

    /// <summary>Splits "host:port"; an IPv6 host stands in brackets.</summary>
    public static bool TrySplit(string address, out string host, out int port)
    {
        int colon = address.LastIndexOf(':');
        host = colon < 0 ? "" : address[..colon];
        port = 0;
        if (colon <= 0 || !int.TryParse(address.AsSpan(colon + 1), System.Globalization.NumberStyles.None, null, out port) || port > IPEndPoint.MaxPort)
        {
            return false;
        }

        if (host.StartsWith('[') && host.EndsWith(']'))
        {
            host = host[1..^1];
            return IPAddress.TryParse(host, out _);
        }

        return host == "*" || Uri.CheckHostName(host) is UriHostNameType.Dns or UriHostNameType.IPv4;
    }

    private static IEnumerable<string> Identity(NodeOptions options)
    {
        if (options.ClusterId.Length is 0 or > KvLimits.MaxKeyspaceNameLength || !options.ClusterId.All(IsNameCharacter))
        {
            yield return options.ClusterId.Length == 0
                ? "The cluster has no name: give the same --cluster NAME to all its nodes."
                : $"The cluster name '{options.ClusterId}' won't do: use 1 to {KvLimits.MaxKeyspaceNameLength} of a-z, 0-9, '-', '_', '.'.";
        }

        if (options.NodeId is 0 or > Core.Identity.NodeId.Max)
        {
            yield return options.NodeId == 0
                ? $"The node has no id: give --node-id N, 1 to {Core.Identity.NodeId.Max}, another one for each node."
                : $"The node id {options.NodeId} is too large: use 1 to {Core.Identity.NodeId.Max}.";
        }
    }

    private static IEnumerable<string> Addresses(NodeOptions options)
    {
        if (options.Port is < 0 or > IPEndPoint.MaxPort)
        {
            yield return $"The port {options.Port} doesn't exist: use 1 to {IPEndPoint.MaxPort}, or 0 for any free one.";
        }

        if (options.ListenHost is not ("*" or "localhost") && !IPAddress.TryParse(options.ListenHost, out _))
        {
            yield return $"Can't listen on '{options.ListenHost}': use an IP address of this machine, 'localhost', or '*' for all.";
        }

        if (options.HttpHost is not ("" or "*" or "localhost") && !IPAddress.TryParse(options.HttpHost, out _))
        {
            yield return $"Can't listen for HTTP on '{options.HttpHost}': use an IP address of this machine, 'localhost', or '*' for all.";
        }

        if (options.HttpPort is < 0 or > IPEndPoint.MaxPort || (options.HttpHost.Length > 0 && options.HttpPort != 0 && options.HttpPort == options.Port))
        {
            yield return $"The HTTP port {options.HttpPort} won't do: use 1 to {IPEndPoint.MaxPort}, or 0 for any free one, and another one than --listen has.";
        }

        if (options.AdvertisedAddress.Length > 0 && !IsAddress(options.AdvertisedAddress))
        {
            yield return $"The advertised address '{options.AdvertisedAddress}' won't do: use HOST:PORT as clients and peers can reach it.";
        }

        foreach (string member in options.Join.Where(member => !IsAddress(member)))
        {
            yield return $"Can't join at '{member}': give --join HOST:PORT, the address of a member.";
        }

        if (options.Join.Count > 0 && options.Members.Count > 0)
        {
            yield return "--join and --member exclude each other: a founding node names all founding members, a node that is added later joins.";
        }

        if (options.AdvertisedAddress.Length == 0 && options.Members.Count == 0 && options.Join.Count == 0 && options.ListenHost is "*" or "0.0.0.0" or "::")
        {
            yield return "A node that listens on all addresses must say how it is reached: give --advertise HOST:PORT.";
        }
    }

    private static IEnumerable<string> Members(NodeOptions options)
    {
        HashSet<uint> ids = [];
        HashSet<string> addresses = new(StringComparer.OrdinalIgnoreCase);
        foreach (PeerAddress member in options.Members)
        {
            if (!ids.Add(member.Node.Value))
            {
                yield return $"Node {member.Node.Value} is named twice among the members: keep one.";
            }

            if (!IsAddress(member.Address))
            {
                yield return $"Member {member.Node.Value} has the address '{member.Address}': use HOST:PORT.";
            }
            else if (!addresses.Add(member.Address))
            {
                yield return $"Two members have the address {member.Address}: each node needs one of its own.";
            }
        }

        if (options.Members.Count > 0 && options.NodeId is > 0 and <= Core.Identity.NodeId.Max && !ids.Contains(options.NodeId))
        {
            yield return $"Node {options.NodeId} is missing among its own members: name all nodes of the cluster, this one too.";
        }

        if (options.Members.Count > 1 && options.Port == 0 && options.AdvertisedAddress.Length == 0)
        {
            yield return "A node with peers can't listen on any free port: the peers must know it. Give --listen HOST:PORT.";
        }
    }

    private static IEnumerable<string> Recovery(NodeOptions options)
    {
        if (options.RecoverWithout.Count > 0 != options.AcceptDataLoss)
        {
            yield return options.AcceptDataLoss
                ? "--accept-data-loss alone recovers nothing: name the lost nodes with --recover-without ID, or leave it out."
                : "--recover-without gives up what only the lost nodes had, acknowledged or not: read about it in docs/operations.md, then add --accept-data-loss.";
        }

        foreach (Core.Identity.NodeId lost in options.RecoverWithout)
        {
            if (lost.Value == options.NodeId || (options.Join.Count == 0 && options.Members.All(member => member.Node != lost)))
            {
                yield return $"Can't recover without node {lost.Value}: name other nodes of the cluster, as they stand among the members.";
            }
        }
    }

    private static IEnumerable<string> Times(NodeOptions options)
    {
        if (options.HeartbeatInterval < TimeSpan.FromMilliseconds(10) || options.HeartbeatInterval > TimeSpan.FromSeconds(10))
        {
            yield return $"The heartbeat interval of {options.HeartbeatInterval.TotalMilliseconds:0} ms won't do: use 10 to 10,000 ms.";
        }

        if (options.HeartbeatPause < TimeSpan.Zero || options.HeartbeatPause > TimeSpan.FromSeconds(10))
        {
            yield return $"A forgiven pause of {options.HeartbeatPause.TotalMilliseconds:0} ms won't do: use 0 to 10,000 ms.";
        }

        if (options.SuspectPhi is not (>= 0.1 and <= 20) || options.DownPhi is not <= 100 || options.DownPhi < options.SuspectPhi + 0.5)
        {
            yield return FormattableString.Invariant($"The suspicions {options.SuspectPhi} (suspect) and {options.DownPhi} (down) won't do: use 0.1 to 20, and at least 0.5 more up to 100.");
        }

        if (options.MaxHoldDown < TimeSpan.FromMilliseconds(1) || options.MaxHoldDown > TimeSpan.FromMinutes(1))
        {
            yield return $"A longest hold-down of {options.MaxHoldDown.TotalMilliseconds:0} ms won't do: use 1 to 60,000 ms.";
        }

        if (options.ElectionTimeoutMin < 4 * options.HeartbeatInterval)
        {
            yield return $"The election timeout of {options.ElectionTimeoutMin.TotalMilliseconds:0} ms is too short: use at least four heartbeat intervals ({4 * options.HeartbeatInterval.TotalMilliseconds:0} ms).";
        }

        if (options.ElectionTimeoutMax < 1.25 * options.ElectionTimeoutMin)
        {
            yield return $"The election timeouts ({options.ElectionTimeoutMin.TotalMilliseconds:0} to {options.ElectionTimeoutMax.TotalMilliseconds:0} ms) are too close to each other: make the longer one at least {1.25 * options.ElectionTimeoutMin.TotalMilliseconds:0} ms, so that candidates don't tie.";
        }

        if (options.MaxClockDrift < TimeSpan.FromMilliseconds(10) || options.MaxClockDrift > TimeSpan.FromMinutes(1))
        {
            yield return $"A clock drift of {options.MaxClockDrift.TotalMilliseconds:0} ms won't do: allow 10 to 60,000 ms.";
        }

        if (options.ShardLoops is < 1 or > 64)
        {
            yield return $"{options.ShardLoops} shard loops won't do: use 1 to 64.";
        }
    }

    private static IEnumerable<string> Storage(NodeOptions options)
    {
        if (options.Engine == StorageEngine.RocksDb && options.DataDirectory.Length == 0)
        {
            yield return "The node has no data directory: give --data DIRECTORY, or --engine memory for a node that forgets.";
        }

        if (options.TableBytes < MiB)
        {
            yield return $"A table of {options.TableBytes} bytes is too small: use at least {MiB}.";
        }

        if (options.WatchWindowBytes is not 0 and (< 64 * 1_024 or > 64 * 1_024 * MiB))
        {
            yield return $"{options.WatchWindowBytes} bytes of changes for watches won't do: use {64 * 1_024} to {64 * 1_024 * MiB}, or 0 to have none.";
        }

        if (options.MaxWatches is < 1 or > 1_000_000)
        {
            yield return $"{options.MaxWatches} watches won't do: use 1 to 1000000.";
        }

        if (options.OverlayBytes is < 64 * 1_024 or > 1_024 * MiB)
        {
            yield return $"{options.OverlayBytes} bytes of provisional writes won't do: use {64 * 1_024} to {1_024 * MiB}.";
        }

        if (options.OverlayMaxAge < TimeSpan.FromSeconds(1))
        {
            yield return $"A greatest age of {options.OverlayMaxAge.TotalSeconds:0} s for provisional writes is too short: use 1 s or more.";
        }

        // An entry takes half a segment at most, and a value of the greatest size must fit.
        if (options.SegmentBytes is < 4 * MiB or > 1_024 * MiB)
        {
            yield return $"Log segments of {options.SegmentBytes} bytes won't do: use {4 * MiB} to {1_024 * MiB}.";
        }

        if (options.RetainedLogBytes < 2 * options.SegmentBytes)
        {
            yield return $"A retained log of {options.RetainedLogBytes} bytes is too small: use at least two segments ({2 * options.SegmentBytes}).";
        }

        if (options.LowSpaceBytes < 0)
        {
            yield return "The low-space bound can't be negative: use 0 to switch it off.";
        }
    }

    private static bool IsNameCharacter(char c) => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '_' or '.';
}

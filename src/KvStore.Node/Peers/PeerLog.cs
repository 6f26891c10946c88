using KvStore.Contracts.V1;
using KvStore.Core.Identity;

namespace KvStore.Node.Peers;

/// <summary>Log messages of the streams and heartbeats between nodes. Event ids 2000 to 2099, stable.</summary>
internal static partial class PeerLog
{
    [LoggerMessage(2000, LogLevel.Information, "Connected to {Peer} ({Address}) for {Lane}")]
    public static partial void Connected(ILogger log, NodeId peer, string address, Lane lane);

    [LoggerMessage(2001, LogLevel.Information, "Lost the connection to {Peer} ({Address}) for {Lane}: {Reason}")]
    public static partial void Disconnected(ILogger log, NodeId peer, string address, Lane lane, string reason);

    [LoggerMessage(2002, LogLevel.Warning, "{Peer} ({Address}) refuses this node: {Reason}")]
    public static partial void Refused(ILogger log, NodeId peer, string address, string reason);

    [LoggerMessage(2003, LogLevel.Information, "Can't reach {Peer} ({Address}) for {Lane}, trying again: {Reason}")]
    public static partial void Unreachable(ILogger log, NodeId peer, string address, Lane lane, string reason);

    [LoggerMessage(2004, LogLevel.Warning, "Refused a stranger: {Reason}")]
    public static partial void RefusedStranger(ILogger log, string reason);

    [LoggerMessage(2005, LogLevel.Information, "{Peer} connected for {Lane}, incarnation {Incarnation:x}")]
    public static partial void Accepted(ILogger log, NodeId peer, Lane lane, ulong incarnation);

    [LoggerMessage(2006, LogLevel.Warning, "Reset the {Lane} stream from {Peer}: {Reason}")]
    public static partial void Reset(ILogger log, Lane lane, NodeId peer, string reason);

    [LoggerMessage(2007, LogLevel.Error, "The sender for {Peer}, {Lane}, failed and starts anew")]
    public static partial void SenderFailed(ILogger log, Exception failure, NodeId peer, Lane lane);

    [LoggerMessage(2008, LogLevel.Error, "A listener for {Peer} connecting or disconnecting failed")]
    public static partial void ListenerFailed(ILogger log, Exception failure, NodeId peer);

    [LoggerMessage(2020, LogLevel.Information, "{Peer} is up: {Reason}")]
    public static partial void Up(ILogger log, NodeId peer, string reason);

    [LoggerMessage(2021, LogLevel.Information, "{Peer} is suspect: {Reason}")]
    public static partial void Suspect(ILogger log, NodeId peer, string reason);

    [LoggerMessage(2022, LogLevel.Warning, "{Peer} is down: {Reason}")]
    public static partial void Down(ILogger log, NodeId peer, string reason);

    [LoggerMessage(2023, LogLevel.Warning, "This node's loops or disk make no progress: heartbeats pause, so that peers see it")]
    public static partial void GateClosed(ILogger log);

    [LoggerMessage(2024, LogLevel.Information, "This node makes progress again: heartbeats resume")]
    public static partial void GateOpened(ILogger log);

    [LoggerMessage(2040, LogLevel.Warning, "This node's clock is {OffsetMs} ms ahead of its peers' (negative: behind), more than the {BoundMs} ms that are allowed: puts of last-writer-wins keyspaces are refused here until it is set right")]
    public static partial void ClockOff(ILogger log, long offsetMs, int boundMs);

    [LoggerMessage(2041, LogLevel.Information, "This node's clock agrees with its peers' again ({OffsetMs} ms)")]
    public static partial void ClockRight(ILogger log, long offsetMs);

    [LoggerMessage(2026, LogLevel.Trace, "Heartbeat of {Peer} heard at {AtMs} ms")]
    public static partial void Heard(ILogger log, NodeId peer, long atMs);

    [LoggerMessage(2025, LogLevel.Error, "The heartbeat thread failed in one round and goes on")]
    public static partial void RoundFailed(ILogger log, Exception failure);
}

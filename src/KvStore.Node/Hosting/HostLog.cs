namespace KvStore.Node.Hosting;

/// <summary>Log messages of the process. Event ids 1000 to 1099, stable.</summary>
internal static partial class HostLog
{
    [LoggerMessage(1000, LogLevel.Information, "Node {Node} of cluster {Cluster} listens on {Address}, version {Version}, {Engine} engine, {Members} members")]
    public static partial void Listening(ILogger log, uint node, string cluster, string address, string version, StorageEngine engine, int members);

    [LoggerMessage(1001, LogLevel.Information, "Stopping")]
    public static partial void Stopping(ILogger log);

    [LoggerMessage(1002, LogLevel.Information, "Stopped")]
    public static partial void Stopped(ILogger log);

    [LoggerMessage(1003, LogLevel.Warning, "Killed on request: nothing is flushed")]
    public static partial void Killed(ILogger log);

    [LoggerMessage(1004, LogLevel.Critical, "The node can't go on and ends")]
    public static partial void Fatal(ILogger log, Exception failure);

    [LoggerMessage(1005, LogLevel.Information, "Ready: {Ready}")]
    public static partial void Readiness(ILogger log, bool ready);

    [LoggerMessage(1006, LogLevel.Error, "A part of the node did not stop cleanly")]
    public static partial void StopFailed(ILogger log, Exception failure);
}

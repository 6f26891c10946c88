namespace KvStore.Node.Watching;

internal static partial class WatchLog
{
    [LoggerMessage(EventId = 6001, Level = LogLevel.Error, Message = "A look at the watches of this node has failed; the next one is in {Milliseconds} ms. Watches whose replica is no longer fit may stay open until then.")]
    public static partial void LookFailed(ILogger log, Exception failure, int milliseconds);
}

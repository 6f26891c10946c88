using KvStore.Contracts.V1;

namespace KvStore.Node.Rest;

/// <summary>A request that ends with a problem document instead of a result.</summary>
internal sealed class RestRefusal(int status, Code code, Outcome outcome, bool retryable, string detail) : Exception(detail)
{
    public int Status { get; } = status;

    public Code Code { get; } = code;

    public Outcome Outcome { get; } = outcome;

    public bool Retryable { get; } = retryable;

    public static RestRefusal BadRequest(string detail) => new(StatusCodes.Status400BadRequest, Code.InvalidArgument, Outcome.NotDone, retryable: false, detail);

    public static RestRefusal TooLarge(string detail) => new(StatusCodes.Status413PayloadTooLarge, Code.TooLarge, Outcome.NotDone, retryable: false, detail);

    public static RestRefusal UnknownKeyspace(string name) => new(
        StatusCodes.Status404NotFound,
        Code.UnknownKeyspace,
        Outcome.NotDone,
        retryable: false,
        $"There is no keyspace '{Catalog.KeyspaceLookup.Short(name)}'; create it with PUT /v1/keyspaces/NAME.");

    /// <summary>The node has started a moment ago, and a keyspace that it does not know may exist.</summary>
    public static RestRefusal CatalogUnread() => new(StatusCodes.Status503ServiceUnavailable, Code.Recovering, Outcome.NotDone, retryable: true, Catalog.KeyspaceLookup.NotReadYet);

    public static RestRefusal Of(Result result)
    {
        string unknown = result.Outcome == Outcome.Unknown ? " The outcome is unknown: it may have happened. Send it again only with the same KvStore-Request-Id." : "";
        return new RestRefusal(StatusOf(result.Code), result.Code, result.Outcome, result.Retryable, result.Reason + unknown);
    }

    /// <summary>Of a read: whatever became of it, it changed nothing and may be asked again.</summary>
    public static RestRefusal OfRead(Result result) => new(StatusOf(result.Code), result.Code, Outcome.NotDone, result.Retryable, result.Reason);

    /// <summary>As the gRPC statuses at the head of kv.proto, in the words of HTTP.</summary>
    public static int StatusOf(Code code) => code switch
    {
        Code.ConditionFailed => StatusCodes.Status412PreconditionFailed,
        Code.InvalidArgument or Code.RequestReused or Code.WrongType => StatusCodes.Status400BadRequest,
        Code.UnknownKeyspace => StatusCodes.Status404NotFound,
        Code.StaleEpoch or Code.ChangePending or Code.LevelNotOffered or Code.RequestExpired or Code.ClockSkew or Code.NotCaughtUp or Code.ReplicaRemoved
            or Code.ProvisionalRefused or Code.SessionLost => StatusCodes.Status409Conflict,
        Code.TooLarge => StatusCodes.Status413PayloadTooLarge,
        Code.Overloaded or Code.TooManySiblings or Code.WatchBehind => StatusCodes.Status429TooManyRequests,
        Code.DiskLow or Code.OverlayFull or Code.MemoryFull => StatusCodes.Status507InsufficientStorage,
        Code.DeadlineExceeded => StatusCodes.Status504GatewayTimeout,
        Code.NoLeader or Code.NoQuorum or Code.Switching or Code.NotLeader or Code.WrongNode or Code.LeadershipLost or Code.ShuttingDown or Code.Recovering or Code.StorageFailed or Code.SessionBehind or Code.TooStale => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status500InternalServerError,
    };
}

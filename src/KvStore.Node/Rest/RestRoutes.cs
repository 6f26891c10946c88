using Microsoft.AspNetCore.Http.Metadata;

namespace KvStore.Node.Rest;

/// <summary>
/// The HTTP face of a node, for curl, scripts and languages without gRPC: values are raw bodies, versions are ETags, and what an answer is worth stands in headers (<see cref="AnswerHeaders"/>).
/// Any node takes any request and forwards it. Start reading here.
/// </summary>
internal static class RestRoutes
{
    private const string Octets = "application/octet-stream";
    private const string Problem = "application/problem+json";

    public static void Map(IEndpointRouteBuilder routes)
    {
        RouteGroupBuilder v1 = routes.MapGroup("/v1");
        MapKeys(v1.MapGroup("/keyspaces/{keyspace}/keys").WithTags("keys"));
        v1.MapPost("/keyspaces/{keyspace}/transactions", TransactionResource.Post).WithTags("transactions").WithName("transact")
            .WithSummary("Compares keys of one shard and does one of two lists of operations on them, atomically (cp, adaptive). Which list it was is in the answer: comparisons that do not hold are no error")
            .Accepts<TransactionDocument>("application/json").Produces<TransactionResultDocument>().ProducesProblem(StatusCodes.Status409Conflict).ProducesProblem(StatusCodes.Status413PayloadTooLarge).WithRefusals();
        MapKeyspaces(v1.MapGroup("/keyspaces").WithTags("keyspaces"));
        v1.MapGet("/keyspaces/{keyspace}/watch", WatchResource.Get).WithTags("keys").WithName("watch")
            .WithSummary("The changes of a key or a prefix as server-sent events; resumes by Last-Event-ID").Produces<WatchEventDocument>(StatusCodes.Status200OK, "text/event-stream").WithRefusals();
        v1.MapGet("/cluster", ClusterResource.Get).WithTags("cluster").WithName("getCluster")
            .WithSummary("Members, keyspaces and leaders, as the node knows them").Produces<ClusterDocument>();
        routes.MapGet("/health/live", HealthResource.Live).WithTags("health").WithName("live")
            .WithSummary("200 while the process works, 503 when it can't go on").Produces(StatusCodes.Status200OK).Produces(StatusCodes.Status503ServiceUnavailable);
        routes.MapGet("/health/ready", HealthResource.Ready).WithTags("health").WithName("ready")
            .WithSummary("200 when load balancers may send clients here, else 503").Produces(StatusCodes.Status200OK).Produces(StatusCodes.Status503ServiceUnavailable);
    }

    private static void MapKeys(RouteGroupBuilder keys)
    {
        keys.MapGet("", ScanResource.Get).WithName("scan").WithSummary("One page of keys with a prefix, in key order, with their values in base64").Produces<ScanDocument>().WithRefusals();
        keys.MapMethods("{**key}", [HttpMethods.Get, HttpMethods.Head], KeyResource.Get).WithName("get").WithSummary("The value of a key")
            .Produces(StatusCodes.Status200OK, contentType: Octets).Produces(StatusCodes.Status304NotModified).Produces(StatusCodes.Status404NotFound, contentType: Problem).WithRefusals();
        keys.MapPut("{**key}", KeyResource.Put).WithName("put").WithSummary("Sets a key to the body").WithMetadata(new RawBody())
            .Produces(StatusCodes.Status204NoContent).Produces(StatusCodes.Status412PreconditionFailed, contentType: Problem).WithRefusals();
        keys.MapPost("{**key}", KeyResource.Increment).WithName("increment").WithSummary("Adds to a counter and answers with what it is then, as decimal text; a key without a value counts from zero")
            .Produces<string>(StatusCodes.Status200OK, "text/plain").WithRefusals();
        keys.MapDelete("{**key}", KeyResource.Delete).WithName("delete").WithSummary("Removes a key; removing an absent one is done too")
            .Produces(StatusCodes.Status204NoContent).Produces(StatusCodes.Status412PreconditionFailed, contentType: Problem).WithRefusals();
    }

    private static void MapKeyspaces(RouteGroupBuilder keyspaces)
    {
        keyspaces.MapGet("", KeyspaceResource.List).WithName("listKeyspaces").WithSummary("All keyspaces").Produces<KeyspaceDocument[]>();
        keyspaces.MapGet("{keyspace}", KeyspaceResource.Get).WithName("getKeyspace").WithSummary("One keyspace").Produces<KeyspaceDocument>().WithRefusals();
        keyspaces.MapPut("{keyspace}", KeyspaceResource.Create).WithName("createKeyspace")
            .WithSummary("Creates a keyspace; repeating it with the same settings changes nothing").Accepts<KeyspaceSettingsDocument>("application/json").Produces<KeyspaceDocument>().WithRefusals();
        keyspaces.MapDelete("{keyspace}", KeyspaceResource.Delete).WithName("deleteKeyspace")
            .WithSummary("Deletes a keyspace with all its data; its id must be given (?id=)").Produces(StatusCodes.Status204NoContent).Produces(StatusCodes.Status409Conflict, contentType: Problem).WithRefusals();
    }

    private static RouteHandlerBuilder WithRefusals(this RouteHandlerBuilder route) => route
        .ProducesProblem(StatusCodes.Status400BadRequest)
        .ProducesProblem(StatusCodes.Status404NotFound)
        .ProducesProblem(StatusCodes.Status429TooManyRequests)
        .ProducesProblem(StatusCodes.Status503ServiceUnavailable)
        .ProducesProblem(StatusCodes.Status504GatewayTimeout);

    /// <summary>Says that the body is the value, whatever its type.</summary>
    private sealed class RawBody : IAcceptsMetadata
    {
        public IReadOnlyList<string> ContentTypes { get; } = ["*/*"];

        public Type? RequestType => typeof(Stream);

        public bool IsOptional => true;
    }
}

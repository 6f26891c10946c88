using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Node.Catalog;
using KvStore.Node.Clients;
using KvStore.Node.Loops;

namespace KvStore.Node.Rest;

/// <summary>One request for keys: in which keyspace, for how long, in which session; and what its answer says of itself.</summary>
internal sealed class RestCall
{
    private const string NewSession = "new";

    private readonly HttpContext _context;
    private readonly OperationExecutor? _executor;

    /// <exception cref="RestRefusal">There is no such keyspace, or a parameter won't do.</exception>
    /// <exception cref="Grpc.Core.RpcException">The session is none of this cluster.</exception>
    public RestCall(HttpContext context, RequestParameters parameters, LoopSet loops, OperationExecutor? executor = null)
    {
        _context = context;
        _executor = executor;
        Keyspace = Find(loops, parameters.Keyspace);
        TimeoutMs = parameters.ParsedTimeoutMs;
        Session = parameters.Session switch
        {
            null => null,
            NewSession => UnarySession.Open(ByteString.Empty, loops.Router.Catalog.ClusterId),
            var token => UnarySession.OpenText(token.Trim(), loops.Router.Catalog.ClusterId),
        };
    }

    public CatalogKeyspace Keyspace { get; }

    public uint TimeoutMs { get; }

    /// <summary>Null: the request belongs to none.</summary>
    public UnarySession? Session { get; }

    /// <exception cref="RestRefusal">There is none of that name, this node can't tell, or it is the system's.</exception>
    public static CatalogKeyspace Find(LoopSet loops, string name) => loops.Router.Find(name) switch
    {
        { Id: > 0 } keyspace => keyspace,
        null when !loops.Router.HasReadCatalog => throw RestRefusal.CatalogUnread(),
        _ => throw RestRefusal.UnknownKeyspace(name),
    };

    /// <summary>Runs an operation on its key, and writes the headers of its answer.</summary>
    /// <exception cref="RestRefusal">It was refused, or its outcome is unknown.</exception>
    public async Task<Result> RunAsync(WireOperation operation)
    {
        int shard = KeyRouting.ShardOf(operation.Key.Span, Keyspace.Shards.Length);
        operation.KeyspaceId = Keyspace.Id;
        operation.TimeoutMs = TimeoutMs;
        operation.SessionPosition = Session?.PositionIn(Keyspace.Id, shard) ?? default;
        Result result = await _executor!.ExecuteAsync(operation, _context.RequestAborted);
        AnswerHeaders.Write(_context.Response, result);
        Session?.Learn(Keyspace.Id, shard, result.Session);
        TellSession();
        return result.Outcome == Outcome.Done ? result : throw (operation.Kind == OperationKind.Get ? RestRefusal.OfRead(result) : RestRefusal.Of(result));
    }

    /// <summary>The token for the next request of the session, if there is one.</summary>
    public void TellSession()
    {
        if (Session is not null)
        {
            _context.Response.Headers[AnswerHeaders.Session] = Session.ToText();
        }
    }
}

using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas.Watching;
using KvStore.Core.Versioning;
using KvStore.Node.Catalog;

namespace KvStore.Node.Watching;

/// <summary>A request to watch that can't be served, and why: of whatever face.</summary>
internal sealed class WatchRefusedException(Code code, string reason, bool retryable = false) : Exception(reason)
{
    public Code Code { get; } = code;

    public bool Retryable { get; } = retryable;
}

/// <summary>What a watch asks for, checked.</summary>
internal sealed class WatchPlan
{
    private readonly TimeProvider _time;

    private WatchPlan(CatalogKeyspace keyspace, string clusterId, TimeProvider time)
    {
        Keyspace = keyspace;
        ClusterMark = WatchTokens.ClusterMark(clusterId);
        _time = time;
        OnlyWinner = keyspace.Conflicts == ConflictRule.LastWriterWins;
    }

    public CatalogKeyspace Keyspace { get; }

    /// <summary>Of what is told as a token.</summary>
    public ulong ClusterMark { get; }

    public WatchRange Range { get; private init; }

    /// <summary>In order.</summary>
    public required IReadOnlyList<int> Shards { get; init; }

    /// <summary>By shard; those without are not resumed.</summary>
    public required IReadOnlyDictionary<int, WatchPosition> Positions { get; init; }

    /// <summary>A token was given: a shard that it does not name has a gap.</summary>
    public bool Resumes { get; private init; }

    public bool InitialValues { get; private init; }

    public bool LocalOnly { get; private init; }

    /// <summary>Of concurrent values only the newest is shown.</summary>
    public bool OnlyWinner { get; }

    /// <summary>Now, in Unix milliseconds.</summary>
    public ulong WallMs => (ulong)_time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <exception cref="WatchRefusedException">The request makes no sense.</exception>
    public static WatchPlan Of(WatchRequest request, ShardRouter router, TimeProvider time)
    {
        CatalogKeyspace keyspace = router.Find(request.Keyspace) is var found && found is { Id: > 0 }
            ? found
            : found is null && !router.HasReadCatalog ? throw new WatchRefusedException(Code.Recovering, KeyspaceLookup.NotReadYet, retryable: true)
            : throw new WatchRefusedException(Code.UnknownKeyspace, request.Keyspace.Length == 0 ? "The request names no keyspace." : $"There is no keyspace '{Short(request.Keyspace)}'; create it with 'kv keyspace create'.");
        WatchRange range = RangeOf(request);
        int count = keyspace.Shards.Length;
        int[] shards = request.Shards.Count > 0 ? [.. request.Shards.Select(shard => (int)Math.Min(shard, int.MaxValue)).Distinct().Order()]
            : range.IsPrefix ? [.. Enumerable.Range(0, count)]
            : [KeyRouting.ShardOf(range.Bytes.Span, count)];
        if (shards[^1] >= count)
        {
            throw new WatchRefusedException(Code.InvalidArgument, $"The keyspace has {count} shards; there is no shard {shards[^1]}.");
        }

        return new WatchPlan(keyspace, router.Catalog.ClusterId, time)
        {
            Range = range,
            Shards = shards,
            Positions = PositionsOf(request, keyspace, router.Catalog.ClusterId),
            Resumes = !request.Token.IsEmpty,
            InitialValues = request.InitialValues,
            LocalOnly = request.LocalOnly,
        };
    }

    private static WatchRange RangeOf(WatchRequest request) => request.RangeCase switch
    {
        WatchRequest.RangeOneofCase.Key when request.Key.Length is > 0 and <= KvLimits.MaxKeyBytes => WatchRange.Only(new Key(request.Key.Memory)),
        WatchRequest.RangeOneofCase.Key => throw new WatchRefusedException(Code.InvalidArgument, $"A key is 1 to {KvLimits.MaxKeyBytes} bytes; this one has {request.Key.Length}."),
        WatchRequest.RangeOneofCase.Prefix when request.Prefix.Length <= KvLimits.MaxKeyBytes => WatchRange.Prefix(request.Prefix.Memory),
        WatchRequest.RangeOneofCase.Prefix => throw new WatchRefusedException(Code.InvalidArgument, $"A prefix has at most {KvLimits.MaxKeyBytes} bytes; this one has {request.Prefix.Length}."),
        _ => throw new WatchRefusedException(Code.InvalidArgument, "Say what to watch: a key, or a prefix (an empty one stands for all keys)."),
    };

    private static Dictionary<int, WatchPosition> PositionsOf(WatchRequest request, CatalogKeyspace keyspace, string clusterId)
    {
        Dictionary<int, WatchPosition> positions = [];
        if (request.Token.IsEmpty)
        {
            return positions;
        }

        if (!WatchTokens.TryParse(request.Token.Span, out WatchToken token))
        {
            throw new WatchRefusedException(Code.InvalidArgument, "The token is malformed: pass one on as a watch told it.");
        }

        if (token.Cluster != WatchTokens.ClusterMark(clusterId) || token.KeyspaceId != keyspace.Id)
        {
            throw new WatchRefusedException(Code.InvalidArgument, "The token is of another keyspace or cluster, or of one that was created anew under the same name: begin a new watch.");
        }

        foreach (WatchTokenPart part in token.Parts)
        {
            try
            {
                positions[(int)Math.Min(part.Shard, int.MaxValue)] = WatchPosition.Decode(part.Position.Memory);
            }
            catch (MalformedRecordException malformed)
            {
                throw new WatchRefusedException(Code.InvalidArgument, $"The token is malformed ({malformed.Message}): pass one on as a watch told it.");
            }
        }

        return positions;
    }

    private static string Short(string name) => name.Length > KvLimits.MaxKeyspaceNameLength ? name[..KvLimits.MaxKeyspaceNameLength] : name;
}

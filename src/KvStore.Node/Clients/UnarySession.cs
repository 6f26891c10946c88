using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Core.Versioning;

namespace KvStore.Node.Clients;

/// <summary>
/// The session of one call: takes the parts of the shards that it touches out of the caller's token, and puts what their answers bring in its place. The caller passes whole tokens on and need not know what is in
/// them.
/// </summary>
internal sealed class UnarySession
{
    private const string Malformed = "The session token is malformed or of another cluster: pass on what the last answer brought, or begin a new session.";
    private static readonly byte[] Nothing = SessionPosition.Empty.ToBytes();

    private readonly SessionToken _token;

    private UnarySession(SessionToken token, string clusterId)
    {
        ulong mark = SessionTokens.ClusterMark(clusterId);
        if (token.Cluster != 0 && token.Cluster != mark)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, Malformed));
        }

        token.Cluster = mark;
        _token = token;
    }

    /// <param name="session">The token; empty: a session begins.</param>
    /// <param name="clusterId">The cluster.</param>
    /// <exception cref="RpcException">The bytes are no token of this cluster.</exception>
    public static UnarySession Open(ByteString session, string clusterId) => SessionTokens.TryParse(session.Span, out SessionToken token)
        ? new UnarySession(token, clusterId)
        : throw new RpcException(new Status(StatusCode.InvalidArgument, Malformed));

    /// <summary>The same for a token as text.</summary>
    /// <exception cref="RpcException">The text is no token of this cluster.</exception>
    public static UnarySession OpenText(string session, string clusterId) => SessionTokens.TryParse(session, out SessionToken token)
        ? new UnarySession(token, clusterId)
        : throw new RpcException(new Status(StatusCode.InvalidArgument, Malformed));

    /// <summary>What an operation on the shard is to say.</summary>
    public ReadOnlyMemory<byte> PositionIn(uint keyspace, int shard) => PartOf(keyspace, shard) is { Position.IsEmpty: false } known ? known.Position.Memory : Nothing;

    /// <summary>The shard has answered, with what the session said and more; empty: it has said nothing of the session.</summary>
    public void Learn(uint keyspace, int shard, ByteString answered)
    {
        if (answered.IsEmpty)
        {
            return;
        }

        if (PartOf(keyspace, shard) is { } known)
        {
            known.Position = answered;
        }
        else
        {
            _token.Parts.Add(new SessionPart { KeyspaceId = keyspace, Shard = (uint)shard, Position = answered });
        }
    }

    /// <summary>The token for the next call.</summary>
    public ByteString ToToken() => _token.ToByteString();

    public string ToText() => SessionTokens.ToText(_token);

    private SessionPart? PartOf(uint keyspace, int shard) => _token.Parts.FirstOrDefault(part => part.KeyspaceId == keyspace && part.Shard == (uint)shard);
}

using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Core.Versioning;

namespace KvStore.Node.Clients;

/// <summary>
/// The session of one unary call: takes the shard's part out of the caller's token, and puts the answer's part in its place. The caller passes whole tokens on and need not know what is in them.
/// </summary>
internal sealed class UnarySession
{
    private static readonly byte[] Nothing = SessionPosition.Empty.ToBytes();

    private readonly SessionToken _token;
    private SessionPart _part = new();

    private UnarySession(SessionToken token) => _token = token;

    /// <exception cref="RpcException">The bytes are no token of this cluster.</exception>
    public static UnarySession Open(ByteString session, string clusterId)
    {
        ulong mark = SessionTokens.ClusterMark(clusterId);
        if (!SessionTokens.TryParse(session.Span, out SessionToken token) || (token.Cluster != 0 && token.Cluster != mark))
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "The session token is malformed or of another cluster: pass on what the last answer brought, or begin a new session."));
        }

        token.Cluster = mark;
        return new UnarySession(token);
    }

    public ReadOnlyMemory<byte> PositionIn(uint keyspace, int shard)
    {
        if (_token.Parts.FirstOrDefault(part => part.KeyspaceId == keyspace && part.Shard == (uint)shard) is { } known)
        {
            _part = known;
            return known.Position.Memory;
        }

        _part = new SessionPart { KeyspaceId = keyspace, Shard = (uint)shard };
        _token.Parts.Add(_part);
        return Nothing;
    }

    /// <summary>The token for the next call: the answer includes what this one said.</summary>
    public ByteString After(ByteString answered)
    {
        _part.Position = answered;
        return _token.ToByteString();
    }
}

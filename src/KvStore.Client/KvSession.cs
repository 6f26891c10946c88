using Google.Protobuf;
using KvStore.Client.Sessions;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>
/// What one user, request or job has seen and written, so that whichever replica serves next is not behind it. Operations that name a session in their options read their own writes, never read anything older
/// than they have read before (monotonic reads), and write behind all that (monotonic writes, writes follow reads). These hold in each shard; no order is promised across shards. A replica that is behind is
/// waited for, or another is asked; if none has caught up, the operation fails as <see cref="KvCode.SessionBehind"/>, and as <see cref="KvCode.SessionLost"/> where a failover has lost a write that the
/// session had seen. Nothing is ever served as if it were new enough.
/// <para>Thread-safe. Operations that run at the same time are in no order to each other. Make one with <see cref="IKvClient.CreateSession"/>; hand <see cref="Token"/> to another process to go on there.</para>
/// </summary>
/// <example><code>
/// KvSession session = client.CreateSession();
/// await carts.PutAsync("cart/7", "tea", new KvWriteOptions { Session = session });
/// string token = session.Token;                                     // into a cookie, a message, a header
/// // ... in another process:
/// KvSession continued = client.CreateSession(token);
/// var cart = await carts.GetAsync&lt;string&gt;("cart/7", new KvReadOptions { Session = continued });
/// </code></example>
public sealed class KvSession
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(uint Keyspace, uint Shard), byte[]> _parts = [];
    private ulong _cluster;

    internal KvSession(string? token)
    {
        if (string.IsNullOrEmpty(token))
        {
            return;
        }

        if (!SessionTokens.TryParse(token, out SessionToken parsed))
        {
            throw new ArgumentException("The text is no session token: pass one on unchanged, as KvSession.Token returned it.", nameof(token));
        }

        _cluster = parsed.Cluster;
        foreach (SessionPart part in parsed.Parts)
        {
            _parts[(part.KeyspaceId, part.Shard)] = part.Position.ToByteArray();
        }
    }

    /// <summary>All that the session has seen so far, as text of letters, digits, '-' and '_'. Empty while it has seen nothing. Some dozens of characters for each shard touched.</summary>
    public string Token
    {
        get
        {
            SessionToken token = new();
            lock (_gate)
            {
                token.Cluster = _cluster;
                foreach (((uint keyspace, uint shard), byte[] position) in _parts.OrderBy(part => part.Key))
                {
                    token.Parts.Add(new SessionPart { KeyspaceId = keyspace, Shard = shard, Position = UnsafeByteOperations.UnsafeWrap(position) });
                }

                return SessionTokens.ToText(token);
            }
        }
    }

    /// <summary>Whether this session has seen another cluster, where its positions mean something else.</summary>
    internal bool IsOfAnotherCluster(string clusterId)
    {
        lock (_gate)
        {
            return _cluster != 0 && _cluster != SessionTokens.ClusterMark(clusterId);
        }
    }

    /// <summary>What an operation on the shard is to say.</summary>
    internal ReadOnlyMemory<byte> PositionIn(uint keyspace, uint shard)
    {
        lock (_gate)
        {
            return _parts.TryGetValue((keyspace, shard), out byte[]? position) ? position : SeenPosition.Empty;
        }
    }

    /// <summary>An operation is done.</summary>
    /// <param name="clusterId">The cluster.</param>
    /// <param name="keyspace">Its keyspace.</param>
    /// <param name="shard">Its shard.</param>
    /// <param name="sent">What it said.</param>
    /// <param name="answered">What its answer said; empty from a node that knows no sessions.</param>
    internal void Learn(string clusterId, uint keyspace, uint shard, ReadOnlyMemory<byte> sent, ReadOnlyMemory<byte> answered)
    {
        if (answered.IsEmpty)
        {
            return;
        }

        lock (_gate)
        {
            _cluster = _cluster != 0 ? _cluster : SessionTokens.ClusterMark(clusterId);
            bool alone = !_parts.TryGetValue((keyspace, shard), out byte[]? current) || current.AsSpan().SequenceEqual(sent.Span);
            if (alone)
            {
                _parts[(keyspace, shard)] = answered.ToArray();
                return;
            }

            SeenPosition seen = SeenPosition.Read(current);
            seen.Learn(SeenPosition.Read(sent.Span), SeenPosition.Read(answered.Span));
            _parts[(keyspace, shard)] = seen.ToBytes();
        }
    }
}

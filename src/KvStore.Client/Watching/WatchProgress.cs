using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>How far a watch is in each of its shards.</summary>
internal sealed class WatchProgress
{
    private readonly ulong _cluster;
    private readonly uint _keyspaceId;
    private readonly int[] _shards;
    private readonly ByteString[] _positions;
    private readonly bool[] _promised;
    private readonly bool[] _current;

    /// <param name="token">Null: the watch begins now.</param>
    /// <exception cref="ArgumentException">The token is of another keyspace or cluster.</exception>
    public WatchProgress(string clusterId, uint keyspaceId, int[] shards, WatchToken? token)
    {
        _cluster = WatchTokens.ClusterMark(clusterId);
        _keyspaceId = keyspaceId;
        _shards = shards;
        _positions = [.. shards.Select(_ => ByteString.Empty)];
        _promised = [.. shards.Select(_ => token is not null)];
        _current = new bool[shards.Length];
        if (token is null)
        {
            return;
        }

        if (token.Cluster != _cluster || token.KeyspaceId != keyspaceId)
        {
            throw new ArgumentException("The token is of another keyspace or cluster, or of one that was created anew under the same name: begin a new watch.", nameof(token));
        }

        foreach (WatchTokenPart part in token.Parts)
        {
            if (Array.IndexOf(shards, (int)part.Shard) is >= 0 and var at)
            {
                _positions[at] = part.Position;
                _current[at] = true;
            }
        }
    }

    /// <summary>Every shard has told all that it held.</summary>
    public bool IsCurrent => Array.TrueForAll(_current, told => told);

    /// <summary>Whether something of this shard was told or promised: from then on nothing of it may be missing in silence.</summary>
    public bool IsPromised(uint shard) => _promised[At(shard)];

    /// <summary>Notes an event. Returns where the watch stands behind it, if it stands anywhere in all shards.</summary>
    public WatchMark? Note(WatchEvent told)
    {
        int at = At(told.Shard);
        if (!told.Position.IsEmpty)
        {
            _positions[at] = told.Position;
            _promised[at] = true;
        }
        else if (told.Kind is WatchEventKind.Gap)
        {
            // What follows is what the shard holds; until that is told, there is no place to resume from.
            _positions[at] = ByteString.Empty;
            _current[at] = false;
        }

        _current[at] |= told.Kind == WatchEventKind.CaughtUp;
        return Mark();
    }

    public WatchMark? Mark() => Array.TrueForAll(_positions, position => !position.IsEmpty) ? Parts() : null;

    /// <summary>For the next stream: the positions that are known; empty, if none is.</summary>
    public ByteString ForRequest() => Array.TrueForAll(_positions, position => position.IsEmpty) && !Array.Exists(_promised, promised => promised) ? ByteString.Empty : Parts().ToToken().ToByteString();

    /// <summary>Whether a position was given for this shard with the last request.</summary>
    public bool Resumed(uint shard) => !_positions[At(shard)].IsEmpty;

    public bool Has(uint shard) => Array.IndexOf(_shards, (int)shard) >= 0;

    private WatchMark Parts() => new(_cluster, _keyspaceId, _shards, [.. _positions]);

    private int At(uint shard) => Array.IndexOf(_shards, (int)shard);
}

using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>The positions of all shards behind one change: a token, if somebody asks.</summary>
internal sealed class WatchMark(ulong cluster, uint keyspaceId, int[] shards, ByteString[] positions)
{
    public override string ToString() => WatchTokens.ToText(ToToken());

    public WatchToken ToToken()
    {
        WatchToken token = new() { Cluster = cluster, KeyspaceId = keyspaceId };
        for (int i = 0; i < shards.Length; i++)
        {
            if (!positions[i].IsEmpty)
            {
                token.Parts.Add(new WatchTokenPart { Shard = (uint)shards[i], Position = positions[i] });
            }
        }

        return token;
    }
}

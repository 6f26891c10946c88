using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;
using KvStore.Node.Peers;
using LostWrite = KvStore.Contracts.V1.LostWrite;

namespace KvStore.Node.Catalog;

/// <summary>Gathers the lost writes of a keyspace from the journals of this node's replicas, and, when asked by a client, from those of all other nodes that have replicas of it.</summary>
internal sealed class LostWriteReader(LoopSet loops, ILogger<LostWriteReader> log)
{
    private const int MaxBytes = 3 * 1_048_576;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <exception cref="RpcException">There is no such keyspace.</exception>
    public async Task<LostWritesResponse> ReadAsync(LostWritesRequest request, CancellationToken cancellation)
    {
        CatalogKeyspace keyspace = loops.Router.Require(request.Keyspace);
        LostWritesResponse response = await ReadHereAsync(keyspace, request);
        if (request.HereOnly)
        {
            return response;
        }

        var asked = request.Clone();
        asked.HereOnly = true;
        NodeId[] others = [.. keyspace.Shards.SelectMany(shard => shard).Select(replica => replica.Node).Where(node => node != loops.Self).Distinct().Order()];
        LostWritesResponse?[] answers = await Task.WhenAll(others.Select(node => AskAsync(node, asked, cancellation)));
        for (int i = 0; i < others.Length; i++)
        {
            if (answers[i] is not { } answer)
            {
                response.Unreached.Add(others[i].Value);
                continue;
            }

            response.Writes.AddRange(answer.Writes);
            response.More |= answer.More;
            response.Dropped += answer.Dropped;
            response.Cleared += answer.Cleared;
        }

        Arrange(response);
        return response;
    }

    private static void Arrange(LostWritesResponse response)
    {
        LostWrite[] sorted = [.. response.Writes
            .OrderBy(write => write.Shard).ThenBy(write => write.Index).ThenBy(write => write.Term).ThenBy(write => write.Node)
            .DistinctBy(write => (write.Shard, write.Index, write.Term))];
        response.Writes.Clear();
        int bytes = 0;
        foreach (LostWrite write in sorted)
        {
            bytes += write.CalculateSize();
            if (bytes > MaxBytes && response.Writes.Count > 0)
            {
                response.More = true;
                break;
            }

            response.Writes.Add(write);
        }
    }

    private async Task<LostWritesResponse> ReadHereAsync(CatalogKeyspace keyspace, LostWritesRequest request)
    {
        var response = new LostWritesResponse();
        foreach (ShardLoop loop in loops.Loops)
        {
            LostWritesResponse part = await LoopSet.RunAsync(loop, on => ReadOn(on, keyspace.Id, request.Clear));
            response.Writes.AddRange(part.Writes);
            response.More |= part.More;
            response.Dropped += part.Dropped;
            response.Cleared += part.Cleared;
        }

        if (response.Cleared > 0)
        {
            CatalogLog.LostWritesCleared(log, keyspace.Name, response.Cleared);
        }

        Arrange(response);
        return response;
    }

    private LostWritesResponse ReadOn(ShardLoop loop, uint keyspace, IEnumerable<LostWriteMark> clear)
    {
        var response = new LostWritesResponse();
        foreach (ShardReplica replica in loop.Replicas.Where(replica => replica.Descriptor.Shard.Keyspace == keyspace))
        {
            var shard = (uint)replica.Descriptor.Shard.Number;
            foreach (LostWriteMark mark in clear.Where(mark => mark.Node == loops.Self.Value && mark.Shard == shard))
            {
                response.Cleared += (ulong)replica.ClearLostWrites(mark.Number);
            }

            IReadOnlyList<Core.Replicas.LostWrite> page = replica.LostWrites.Read(0, MaxBytes);
            response.More |= page.Count < replica.LostWrites.Count;
            response.Dropped += replica.LostWrites.Dropped;
            response.Writes.AddRange(page.Select(write => ToWire(write, shard)));
        }

        return response;
    }

    private LostWrite ToWire(Core.Replicas.LostWrite write, uint shard) => new()
    {
        Node = loops.Self.Value,
        Shard = shard,
        Number = write.Number,
        Key = ByteString.CopyFrom(write.Key.Span),
        Value = ByteString.CopyFrom(write.Value.Span),
        IsDelete = write.IsDelete,
        Term = write.Term.Value,
        Index = write.Index.Value,
        TimestampMs = write.TimestampMs,
        AcknowledgedMs = write.AcknowledgedMs,
        LostMs = write.LostMs,
        AcknowledgementInDoubt = write.Doubts.HasFlag(LostWriteDoubts.Acknowledgement),
        LossInDoubt = write.Doubts.HasFlag(LostWriteDoubts.Loss),
    };

    /// <summary>Null: no answer.</summary>
    private async Task<LostWritesResponse?> AskAsync(NodeId node, LostWritesRequest request, CancellationToken cancellation)
    {
        if (loops.Router.Catalog.Members.FirstOrDefault(member => member.Node == node) is not { } member)
        {
            return null;
        }

        using GrpcChannel channel = PeerChannel.Open(member.Address, new PeerMeshOptions());
        try
        {
            return await new Admin.AdminClient(channel).LostWritesAsync(request, deadline: DateTime.UtcNow + Patience, cancellationToken: cancellation);
        }
        catch (RpcException) when (!cancellation.IsCancellationRequested)
        {
            return null;
        }
    }
}

using System.Globalization;
using System.Text;
using KvStore.Core.Identity;
using KvStore.Storage;

namespace KvStore.Node.Catalog;

/// <summary>
/// Under which id this node holds what it has of a shard, kept beside the log. Storage goes by shard; but a replica that was moved away and back has another id, and what was stored under the earlier one (its log, its vote) must not
/// be taken for its own. Only replicas that were placed here after the shard was founded are in it, and those that were destroyed. Not thread-safe but for reading: one task changes it.
/// </summary>
internal sealed class HeldReplicas
{
    private const string FileName = "replicas.held";
    private const string Header = "kvstore replicas 1";
    private const int MaxBytes = 4 * 1024 * 1024;

    private readonly NodeStorage _storage;
    private readonly Lock _gate = new();
    private readonly SortedDictionary<ShardId, Held> _held = [];

    /// <exception cref="StorageRefusedException">The file is damaged.</exception>
    public HeldReplicas(NodeStorage storage)
    {
        _storage = storage;
        if (storage.ReadNote(FileName, MaxBytes) is { } bytes)
        {
            Read(Encoding.UTF8.GetString(bytes));
        }
    }

    /// <summary>What is known of a shard; default: nothing was noted.</summary>
    public Held Of(ShardId shard)
    {
        lock (_gate)
        {
            return _held.GetValueOrDefault(shard);
        }
    }

    /// <summary>Durable on return. Blocks: not for a shard loop.</summary>
    /// <exception cref="IOException">The disk refused it.</exception>
    public void Note(IEnumerable<(ShardId Shard, ReplicaId Replica, bool IsGone)> changes)
    {
        byte[] bytes;
        lock (_gate)
        {
            foreach ((ShardId shard, ReplicaId replica, bool isGone) in changes)
            {
                _held[shard] = new Held(replica, isGone);
            }

            var text = new StringBuilder(Header).Append('\n');
            foreach ((ShardId shard, Held held) in _held)
            {
                text.Append(CultureInfo.InvariantCulture, $"{shard.Keyspace} {shard.Number} {held.Replica.Value} {(held.IsGone ? "gone" : "held")}\n");
            }

            bytes = Encoding.UTF8.GetBytes(text.ToString());
        }

        _storage.WriteNote(FileName, bytes);
    }

    private void Read(string text)
    {
        string[] lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        bool readable = lines.Length > 0 && lines[0] == Header;
        foreach (string line in lines.Skip(1))
        {
            string[] fields = line.Split(' ');
            readable &= fields.Length == 4
                & uint.TryParse(fields[0], CultureInfo.InvariantCulture, out uint keyspace)
                & int.TryParse(fields.ElementAtOrDefault(1), CultureInfo.InvariantCulture, out int number)
                & ulong.TryParse(fields.ElementAtOrDefault(2), CultureInfo.InvariantCulture, out ulong replica);
            if (!readable)
            {
                break;
            }

            _held[new ShardId(keyspace, number)] = new Held(new ReplicaId(replica), fields[3] == "gone");
        }

        if (!readable)
        {
            throw new StorageRefusedException($"The file {FileName} in the data directory is damaged: restore it, or replace this node ('kv member replace') with an empty data directory.");
        }
    }

    /// <param name="IsGone">It was destroyed here, or is about to be.</param>
    public readonly record struct Held(ReplicaId Replica, bool IsGone);
}

using System.Globalization;
using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Storage;

namespace KvStore.Node.Hosting;

/// <summary>
/// The record of unsafe recoveries, beside the log: a text file for people, one line for each shard that was forced, never shortened. It also sees to it that no shard is forced twice: a node that is started again with the same
/// flag, after the lost nodes were replaced, must not throw their successors out.
/// </summary>
internal sealed class RecoveryJournal
{
    private const string FileName = "unsafe-recoveries.log";
    private const string Header = "# Shards whose majority was given up by an operator, and that went on from this node alone. None named here is recovered again; should it ever have to be, move this file away first.";

    /// <summary>A line is about 200 bytes; keyspaces are bounded, and a file longer than this was not written here.</summary>
    private const int MaxBytes = 16 * 1024 * 1024;

    private readonly NodeStorage _storage;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private readonly HashSet<ShardId> _shards = [];

    public RecoveryJournal(NodeStorage storage, TimeProvider time)
    {
        _storage = storage;
        _time = time;
        if (storage.ReadNote(FileName, MaxBytes) is { } bytes)
        {
            Read(Encoding.UTF8.GetString(bytes));
        }
    }

    /// <summary>Those of earlier starts.</summary>
    public IReadOnlySet<ShardId> Shards => _shards;

    /// <summary>Any thread. It is durable some time later.</summary>
    public void Note(ShardId shard, QuorumLoss loss)
    {
        string line = string.Create(
            CultureInfo.InvariantCulture,
            $"{shard.Keyspace}/{shard.Number} {_time.GetUtcNow():O} start {_storage.Incarnation}, members were {string.Join(' ', loss.Before.Places)}, known to be committed up to {loss.Settled}, taken for committed up to {loss.Last}");
        lock (_gate)
        {
            _lines.Add(line);
        }

        _ = Task.Run(Write);
    }

    private void Write()
    {
        lock (_gate)
        {
            if (_lines.Count == 0 || _storage.Error is not null)
            {
                return;
            }

            byte[] earlier = _storage.ReadNote(FileName, MaxBytes) ?? Encoding.UTF8.GetBytes(Header + "\n");
            try
            {
                _storage.WriteNote(FileName, [.. earlier, .. Encoding.UTF8.GetBytes(string.Join('\n', _lines) + "\n")]);
                _lines.Clear();
            }
            catch (IOException)
            {
                // The log says it too, and the next line brings this one along. A second recovery of a shard that has its majority does nothing.
            }
        }
    }

    private void Read(string text)
    {
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] shard = line.Split(' ')[0].Split('/');
            if (shard.Length == 2
                && uint.TryParse(shard[0], NumberStyles.None, CultureInfo.InvariantCulture, out uint keyspace)
                && int.TryParse(shard[1], NumberStyles.None, CultureInfo.InvariantCulture, out int number))
            {
                _shards.Add(new ShardId(keyspace, number));
            }
        }
    }
}

using System.Globalization;
using System.Text;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Storage;

namespace KvStore.Node.Peers;

/// <summary>
/// Which data directory each peer had when it first came, kept beside the own data. A peer that comes with another one lost its disk: it has forgotten whom it voted for and what it acknowledged
/// (counterexample C9), so it must not take part under its old replica ids. One that comes with fewer durable batches than it had runs on an older copy of its directory, which is the same.
/// </summary>
/// <remarks>
/// Trust on first use: a node that was wiped before this one ever met it can't be told. Thread-safe.
/// </remarks>
public sealed class KnownDirectories
{
    private const string FileName = "peers.known";
    private const string Header = "kvstore peers 1";
    private const int MaxBytes = 64 * 1024;

    private readonly NodeStorage? _storage;
    private readonly Lock _gate = new();
    private readonly SortedDictionary<uint, Known> _known = [];
    private readonly Dictionary<uint, uint> _generations = [];

    /// <param name="storage">Where it is kept; null to remember nothing beyond this process.</param>
    /// <exception cref="StorageRefusedException">The file is damaged.</exception>
    public KnownDirectories(NodeStorage? storage)
    {
        _storage = storage;
        if (storage?.ReadNote(FileName, MaxBytes) is { } bytes)
        {
            Read(Encoding.UTF8.GetString(bytes));
        }
    }

    /// <summary>Why this peer may not come in, in one sentence; null if it may. What is new is durable before it returns.</summary>
    public string? Refusal(NodeId peer, Hello hello)
    {
        if (hello.Directory == 0)
        {
            return null;
        }

        lock (_gate)
        {
            var comes = new Known(hello.Generation, hello.Directory, hello.Incarnation, hello.Boot) { Batch = hello.DurableBatch };
            Known? known = _known.GetValueOrDefault(peer.Value);
            uint generation = Math.Max(known?.Generation ?? 0, _generations.GetValueOrDefault(peer.Value));
            if (comes.Generation < generation)
            {
                return $"Node {peer.Value} was replaced: generation {generation} has its place, and this is generation {comes.Generation}. Don't start it again.";
            }

            if (comes.Generation > generation)
            {
                return $"Node {peer.Value} comes as generation {comes.Generation}, and this node knows of generation {generation}: ask 'kv cluster replace-node {peer.Value}' first, or wait until this node has heard of it.";
            }

            if (known is null || known.Generation < generation)
            {
                Keep(peer, comes, known);
                return null;
            }

            if (known.Directory != comes.Directory)
            {
                return $"Node {peer.Value} is known with the data directory {known.Directory:x16} and comes with {comes.Directory:x16}: it lost its data, or runs on another directory. "
                    + $"Under its old id it could break promises that it no longer remembers; give it back its directory, or replace it: 'kv cluster replace-node {peer.Value}'.";
            }

            if (known.Incarnation == comes.Incarnation && known.Boot == comes.Boot)
            {
                // The same process on a new stream. What it said here may be older than its last heartbeat.
                return null;
            }

            if (comes.Incarnation <= known.Incarnation || comes.Batch < known.Batch)
            {
                return $"Node {peer.Value} runs on an older copy of its data directory (start {comes.Incarnation} with {comes.Batch} durable batches; "
                    + $"known are start {known.Incarnation} with {known.Batch}): it has forgotten what it promised since; give it back its directory, or replace it: 'kv cluster replace-node {peer.Value}'.";
            }

            Keep(peer, comes, known);
            return null;
        }
    }

    /// <summary>The catalog says which generation of a node has its place. Older ones are refused from now on; the first one of this generation is welcome with any directory.</summary>
    /// <returns>Whether that is news.</returns>
    public bool SetGeneration(NodeId peer, uint generation)
    {
        lock (_gate)
        {
            bool news = generation > Math.Max(_known.GetValueOrDefault(peer.Value)?.Generation ?? 0, _generations.GetValueOrDefault(peer.Value));
            if (news)
            {
                _generations[peer.Value] = generation;
            }

            return news;
        }
    }

    /// <summary>A heartbeat says how much of the peer's log is durable. Remembered in memory only, until the peer comes again.</summary>
    public void Heard(NodeId peer, ulong durableBatch)
    {
        lock (_gate)
        {
            if (_known.TryGetValue(peer.Value, out Known? known))
            {
                known.Batch = Math.Max(known.Batch, durableBatch);
            }
        }
    }

    /// <summary>A peer counts as known only when that is durable.</summary>
    private void Keep(NodeId peer, Known comes, Known? before)
    {
        _known[peer.Value] = comes;
        try
        {
            Save();
        }
        catch (IOException)
        {
            _known.Remove(peer.Value);
            if (before is not null)
            {
                _known[peer.Value] = before;
            }

            throw;
        }
    }

    private void Save()
    {
        if (_storage is null)
        {
            return;
        }

        var text = new StringBuilder(Header).Append('\n');
        foreach ((uint node, Known known) in _known)
        {
            text.Append(CultureInfo.InvariantCulture, $"{node} {known.Generation} {known.Directory:x16} {known.Incarnation} {known.Boot:x16} {known.Batch}\n");
        }

        _storage.WriteNote(FileName, Encoding.UTF8.GetBytes(text.ToString()));
    }

    private void Read(string text)
    {
        string[] lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines.Length == 0 || lines[0] != Header)
        {
            throw Damaged();
        }

        foreach (string line in lines.AsSpan(1))
        {
            string[] fields = line.Split(' ');
            bool readable = fields.Length == 6
                & uint.TryParse(fields[0], CultureInfo.InvariantCulture, out uint node)
                & uint.TryParse(fields.ElementAtOrDefault(1), CultureInfo.InvariantCulture, out uint generation)
                & ulong.TryParse(fields.ElementAtOrDefault(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong directory)
                & ulong.TryParse(fields.ElementAtOrDefault(3), CultureInfo.InvariantCulture, out ulong incarnation)
                & ulong.TryParse(fields.ElementAtOrDefault(4), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong boot)
                & ulong.TryParse(fields.ElementAtOrDefault(5), CultureInfo.InvariantCulture, out ulong batch);
            if (!readable)
            {
                throw Damaged();
            }

            _known[node] = new Known(generation, directory, incarnation, boot) { Batch = batch };
        }
    }

    private static StorageRefusedException Damaged() =>
        new($"The file {FileName} in the data directory is damaged: restore it, or remove this node from the cluster and add it again with an empty data directory.");

    private sealed record Known(uint Generation, ulong Directory, ulong Incarnation, ulong Boot)
    {
        public ulong Batch { get; set; }
    }
}

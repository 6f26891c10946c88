using KvStore.Storage.Log;
using KvStore.Storage.View;

namespace KvStore.Storage;

/// <summary>
/// A disk in memory that outlives the <see cref="NodeStorage"/>s opened on it, so that a node can crash and come back. Knows what was synced, and can forget, tear, flip, fail and be full. The
/// in-memory engine stands on one, and the production log runs over it in the simulator.
/// </summary>
public sealed class SimulatedDisk : ILogDirectory
{
    internal const int SectorBytes = 512;

    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, SimulatedFile> _files = new(StringComparer.Ordinal);

    /// <summary>Writes that would need more fail as on a full disk.</summary>
    public long CapacityBytes { get; set; } = long.MaxValue;

    /// <summary>The next sync (once) fails with this; what was unsynced by then stays unsynced for ever, as a page cache that has dropped the error would have it.</summary>
    public IOException? NextSyncError { get; set; }

    /// <summary>The next write (once) fails with this.</summary>
    public IOException? NextWriteError { get; set; }

    public long FreeBytes
    {
        get
        {
            lock (_gate)
            {
                return Math.Max(0, CapacityBytes - Used);
            }
        }
    }

    /// <summary>Bytes that files take up.</summary>
    public long UsedBytes
    {
        get
        {
            lock (_gate)
            {
                return Used;
            }
        }
    }

    internal MemoryViewStore View { get; } = new();

    private long Used
    {
        get
        {
            long used = 0;
            foreach (var file in _files.Values)
            {
                used += file.Length;
            }

            return used;
        }
    }

    public IReadOnlyList<string> List()
    {
        lock (_gate)
        {
            return [.. _files.Keys];
        }
    }

    public ILogFile Create(string name, long length)
    {
        lock (_gate)
        {
            if (_files.ContainsKey(name))
            {
                throw new IOException($"The file {name} exists.");
            }

            if (length > CapacityBytes - Used)
            {
                throw new IOException("No space left on the simulated disk.");
            }

            var file = new SimulatedFile(this, new byte[length]);
            _files.Add(name, file);
            return file;
        }
    }

    public ILogFile Open(string name) => Find(name);

    public void Rename(string from, string to)
    {
        lock (_gate)
        {
            if (!_files.Remove(from, out var file))
            {
                throw new FileNotFoundException($"There is no file {from}.");
            }

            _files[to] = file;
        }
    }

    public void Delete(string name)
    {
        lock (_gate)
        {
            _files.Remove(name);
        }
    }

    /// <summary>
    /// The power fails: of each sector written since its file's last sync, the old content, the new one, or one in between survives, each as <paramref name="random"/> says. Without a
    /// random source all of it is lost. The nodes that were open on the disk must have been abandoned.
    /// </summary>
    public void Crash(Random? random = null)
    {
        lock (_gate)
        {
            foreach (var file in _files.Values)
            {
                file.Crash(random);
            }
        }

        View.Crash();
    }

    /// <summary>
    /// The process dies and the power stays: what it wrote to files is there, synced or not; what it had only in memory is gone, and that is the view since its last flush.
    /// </summary>
    public void Kill() => View.Crash();

    /// <summary>Flips one bit of what is durable.</summary>
    public void FlipBit(string name, long offset, int bit) => Find(name).FlipBit(offset, bit);

    /// <summary>How far a file holds something other than zeros.</summary>
    public long WrittenBytes(string name) => Find(name).WrittenBytes;

    /// <summary>Takes a file away, so that it is missing. Returns what <see cref="PutBack"/> needs.</summary>
    public object TakeOut(string name)
    {
        var file = Find(name);
        Delete(name);
        return file;
    }

    /// <summary>Brings a file back that <see cref="TakeOut"/> has taken away.</summary>
    public void PutBack(string name, object file)
    {
        lock (_gate)
        {
            _files[name] = (SimulatedFile)file;
        }
    }

    /// <summary>One record of the flushed view can't be read any more: whoever reads it gets an error, as from a block with a wrong checksum. Returns false if nothing is flushed.</summary>
    public bool DamageView(Random random) => View.Damage(random);

    /// <summary>What <see cref="DamageView"/> did is undone.</summary>
    public void RepairView() => View.Repair();

    /// <summary>What a backup of the whole disk would hold: the files as they are, and the flushed view.</summary>
    public SimulatedDisk CloneWithView()
    {
        var clone = Clone();
        clone.View.CopyFrom(View);
        return clone;
    }

    /// <summary>A disk with the same durable and undurable content, for trying several fates of one state. The view is not copied.</summary>
    public SimulatedDisk Clone()
    {
        var clone = new SimulatedDisk { CapacityBytes = CapacityBytes };
        lock (_gate)
        {
            foreach (var (name, file) in _files)
            {
                clone._files.Add(name, file.CloneFor(clone));
            }
        }

        return clone;
    }

    internal void BeforeWrite()
    {
        if (NextWriteError is { } error)
        {
            NextWriteError = null;
            throw error;
        }
    }

    internal void BeforeSync()
    {
        if (NextSyncError is { } error)
        {
            NextSyncError = null;
            throw error;
        }
    }

    private SimulatedFile Find(string name)
    {
        lock (_gate)
        {
            return _files.TryGetValue(name, out var file) ? file : throw new FileNotFoundException($"There is no file {name}.");
        }
    }
}

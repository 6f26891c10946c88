using KvStore.Storage.Log;

namespace KvStore.Storage;

/// <summary>A file of a <see cref="SimulatedDisk"/>: what a read sees, what a power loss would leave, and every version of each sector in between.</summary>
internal sealed class SimulatedFile(SimulatedDisk disk, byte[] content) : ILogFile
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<int, List<byte[]>> _unsynced = [];
    private readonly byte[] _durable = (byte[])content.Clone();

    public long Length => content.Length;

    public long WrittenBytes
    {
        get
        {
            lock (_gate)
            {
                return content.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
            }
        }
    }

    public void Write(long offset, ReadOnlySpan<byte> bytes)
    {
        disk.BeforeWrite();
        lock (_gate)
        {
            if (offset < 0 || offset + bytes.Length > content.Length)
            {
                throw new IOException("The log must not grow its files.");
            }

            bytes.CopyTo(content.AsSpan((int)offset));
            var first = (int)(offset / SimulatedDisk.SectorBytes);
            var last = (int)((offset + bytes.Length - 1) / SimulatedDisk.SectorBytes);
            for (var sector = first; sector <= last && bytes.Length > 0; sector++)
            {
                if (!_unsynced.TryGetValue(sector, out var versions))
                {
                    versions = [];
                    _unsynced.Add(sector, versions);
                }

                versions.Add(Sector(content, sector).ToArray());
            }
        }
    }

    public int Read(long offset, Span<byte> buffer)
    {
        lock (_gate)
        {
            var count = (int)Math.Clamp(content.Length - offset, 0, buffer.Length);
            content.AsSpan((int)offset, count).CopyTo(buffer);
            return count;
        }
    }

    public void Sync()
    {
        disk.BeforeSync();
        lock (_gate)
        {
            foreach (var (sector, versions) in _unsynced)
            {
                versions[^1].CopyTo(Sector(_durable, sector));
            }

            _unsynced.Clear();
        }
    }

    public void Crash(Random? random)
    {
        lock (_gate)
        {
            foreach (var (sector, versions) in _unsynced)
            {
                var survivor = random is null ? 0 : random.Next(versions.Count + 1);
                if (survivor > 0)
                {
                    versions[survivor - 1].CopyTo(Sector(_durable, sector));
                }
            }

            _unsynced.Clear();
            _durable.CopyTo(content, 0);
        }
    }

    public void FlipBit(long offset, int bit)
    {
        lock (_gate)
        {
            content[offset] ^= (byte)(1 << bit);
            _durable[offset] ^= (byte)(1 << bit);
        }
    }

    public SimulatedFile CloneFor(SimulatedDisk other)
    {
        lock (_gate)
        {
            var clone = new SimulatedFile(other, (byte[])content.Clone());
            _durable.CopyTo(clone._durable, 0);
            foreach (var (sector, versions) in _unsynced)
            {
                clone._unsynced.Add(sector, [.. versions]);
            }

            return clone;
        }
    }

    /// <summary>A file is open as long as its disk exists.</summary>
    public void Dispose()
    {
    }

    private static Span<byte> Sector(byte[] bytes, int sector)
    {
        var start = sector * SimulatedDisk.SectorBytes;
        return bytes.AsSpan(start, Math.Min(SimulatedDisk.SectorBytes, bytes.Length - start));
    }
}

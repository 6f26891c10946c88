using Microsoft.Win32.SafeHandles;

namespace KvStore.Storage.Log;

/// <summary>The log's folder on a real disk.</summary>
internal sealed class DiskLogDirectory : ILogDirectory
{
    private const int ZeroBlockBytes = 1 << 20;
    private readonly string _path;

    public DiskLogDirectory(string path)
    {
        _path = Path.GetFullPath(path);
        Directory.CreateDirectory(_path);
        var parent = Path.GetDirectoryName(_path);
        if (parent is not null)
        {
            NativeSync.Directory(parent);
        }
    }

    public long FreeBytes => new DriveInfo(_path).AvailableFreeSpace;

    public IReadOnlyList<string> List() => [.. Directory.EnumerateFiles(_path).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    public ILogFile Create(string name, long length)
    {
        var handle = File.OpenHandle(Full(name), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Read, FileOptions.None, length);
        try
        {
            // Zeros are really written: a preallocated extent is converted at the first write to it, and that would make every fdatasync a metadata write.
            var zeros = new byte[(int)Math.Min(length, ZeroBlockBytes)];
            for (long offset = 0; offset < length; offset += zeros.Length)
            {
                RandomAccess.Write(handle, zeros.AsSpan(0, (int)Math.Min(zeros.Length, length - offset)), offset);
            }

            RandomAccess.FlushToDisk(handle);
            NativeSync.Directory(_path);
            return new DiskLogFile(handle);
        }
        catch
        {
            handle.Dispose();
            File.Delete(Full(name));
            throw;
        }
    }

    public ILogFile Open(string name) => new DiskLogFile(File.OpenHandle(Full(name), FileMode.Open, FileAccess.ReadWrite, FileShare.Read));

    public void Rename(string from, string to)
    {
        File.Move(Full(from), Full(to), overwrite: true);
        NativeSync.Directory(_path);
    }

    public void Delete(string name)
    {
        File.Delete(Full(name));
        NativeSync.Directory(_path);
    }

    private string Full(string name) => Path.Combine(_path, name);

    private sealed class DiskLogFile(SafeFileHandle handle) : ILogFile
    {
        public long Length => RandomAccess.GetLength(handle);

        public void Write(long offset, ReadOnlySpan<byte> bytes) => RandomAccess.Write(handle, bytes, offset);

        public int Read(long offset, Span<byte> buffer)
        {
            var total = 0;
            while (total < buffer.Length)
            {
                var read = RandomAccess.Read(handle, buffer[total..], offset + total);
                if (read == 0)
                {
                    break;
                }

                total += read;
            }

            return total;
        }

        public void Sync() => NativeSync.Data(handle);

        public void Dispose() => handle.Dispose();
    }
}

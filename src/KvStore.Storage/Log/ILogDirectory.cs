namespace KvStore.Storage.Log;

/// <summary>
/// The folder in which a node keeps its log: the seam behind which the simulator and the tests put a disk that forgets, tears, flips and fails. Names are plain file names. Every method
/// that changes names returns only after the change would survive a power loss. Errors are <see cref="IOException"/>s and are never retried.
/// </summary>
public interface ILogDirectory
{
    /// <summary>How many bytes could still be written, as far as the disk knows.</summary>
    long FreeBytes { get; }

    IReadOnlyList<string> List();

    /// <summary>Makes a file of <paramref name="length"/> zero bytes. A file of that name must not exist.</summary>
    ILogFile Create(string name, long length);

    ILogFile Open(string name);

    /// <summary>Replaces a file called <paramref name="to"/>, if there is one, in one step.</summary>
    void Rename(string from, string to);

    void Delete(string name);
}

/// <summary>One file of the log. Used by one thread at a time.</summary>
public interface ILogFile : IDisposable
{
    long Length { get; }

    void Write(long offset, ReadOnlySpan<byte> bytes);

    /// <summary>Fills the buffer as far as the file goes and returns how many bytes that were.</summary>
    int Read(long offset, Span<byte> buffer);

    /// <summary>Returns when everything written to the file would survive a power loss. After an exception nothing is known of what was written since the last success.</summary>
    void Sync();
}

namespace KvStore.Storage.Engine;

/// <summary>Keeps a second process out of the data directory for as long as it is held, however this process ends.</summary>
internal sealed class DirectoryLock : IDisposable
{
    private const string FileName = "lock";
    private readonly FileStream _file;

    private DirectoryLock(FileStream file) => _file = file;

    public static DirectoryLock Take(string directory)
    {
        try
        {
            return new DirectoryLock(new FileStream(Path.Combine(directory, FileName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (IOException error)
        {
            throw new StorageRefusedException($"The data directory {directory} is in use by another process: stop that one first, or give this node a directory of its own.", error) { IsInUse = true };
        }
    }

    public void Dispose() => _file.Dispose();
}

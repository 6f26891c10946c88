namespace KvStore.Storage;

/// <summary>The data directory can't be used by this process. The message is one sentence that says why and what to do.</summary>
public sealed class StorageRefusedException : Exception
{
    public StorageRefusedException(string message)
        : base(message)
    {
    }

    public StorageRefusedException(string message, Exception cause)
        : base(message, cause)
    {
    }

    /// <summary>It may pass by itself, and trying again later makes sense: another process still holds the directory.</summary>
    public bool IsTemporary { get; init; }
}

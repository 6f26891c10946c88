namespace KvStore.Storage;

/// <summary>The data directory can't be used by this process. The message is one sentence that says why and what to do.</summary>
public sealed class StorageRefusedException : Exception
{
    /// <summary>The reason passes when another process lets go of the directory.</summary>
    public bool IsInUse { get; init; }

    public StorageRefusedException(string message)
        : base(message)
    {
    }

    public StorageRefusedException(string message, Exception cause)
        : base(message, cause)
    {
    }
}

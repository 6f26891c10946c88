namespace KvStore.Storage.Log;

/// <summary>
/// The log on the disk is damaged in a way that no crash explains. Nothing was changed. The message names the file and the offset and says what to do.
/// </summary>
public sealed class LogCorruptException(string file, long offset, string what)
    : Exception($"The log file {file} is damaged at offset {offset}: {what}; the node stays down rather than forget what it promised: restore the file, or remove this node and add it again with an empty data directory.")
{
    public string File { get; } = file;

    /// <summary>In bytes from the start of the file.</summary>
    public long Offset { get; } = offset;
}

using KvStore.Contracts;

namespace KvStore.Cli.Bulk;

/// <summary>One record of a file.</summary>
/// <param name="Number">Counts from 1 in the file.</param>
internal readonly record struct BulkRecord(long Number, ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value)
{
    /// <summary>What is wrong with it, or null.</summary>
    public string? Complaint => Key.Length switch
    {
        0 => "its key is empty",
        > KvLimits.MaxKeyBytes => $"its key has {Key.Length:N0} bytes, more than {KvLimits.MaxKeyBytes:N0}",
        _ => Value.Length > KvLimits.MaxValueBytes ? $"its value has {Value.Length:N0} bytes, more than {KvLimits.MaxValueBytes:N0}" : null,
    };
}

/// <summary>How records stand in a file.</summary>
internal enum BulkFormat
{
    /// <summary>One JSON object a line: "key" and "value" as text, or "keyBase64" and "valueBase64" where they are none.</summary>
    JsonLines,

    /// <summary>RFC 4180 with a header. Text only.</summary>
    Csv,
}

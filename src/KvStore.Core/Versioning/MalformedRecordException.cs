using System.Diagnostics.CodeAnalysis;

namespace KvStore.Core.Versioning;

/// <summary>
/// Bytes from a disk or a peer are not what they should be. The only exception that the decoders of Versioning and Eventual throw, whatever the bytes.
/// </summary>
public sealed class MalformedRecordException(string reason) : Exception($"Malformed record: {reason}")
{
    [DoesNotReturn]
    internal static void Throw(string reason) => throw new MalformedRecordException(reason);
}

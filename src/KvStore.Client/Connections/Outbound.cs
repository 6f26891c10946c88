using KvStore.Contracts;
using KvStore.Contracts.Pipeline;

namespace KvStore.Client.Connections;

/// <summary>
/// What waits to be sent on one stream, already encoded: operations one behind the other, with cuts where a message would exceed what a node accepts (1,024 operations, 4 MiB). Not thread-safe.
/// </summary>
internal sealed class Outbound(int maxBytes)
{
    private const int KeepBytes = 1_048_576;

    /// <summary>The tag of field 15, length-delimited: unknown to the schema, so every reader skips it.</summary>
    private const byte SkippedTag = 122;

    private readonly FrameBuffer _buffer = new(maxBytes);
    private readonly List<int> _cuts = [];
    private int _messageStart;
    private int _messageOperations;

    public bool IsEmpty => _buffer.WrittenCount == 0;

    public bool Fits(int bytes) => _buffer.Fits(bytes);

    /// <returns>Where it begins.</returns>
    public int Append(in WireOperation operation, int elementBytes)
    {
        int offset = _buffer.WrittenCount;
        if (_messageOperations == KvLimits.MaxBatchOperations || offset + elementBytes - _messageStart > KvLimits.MaxMessageBytes)
        {
            _cuts.Add(offset);
            _messageStart = offset;
            _messageOperations = 0;
        }

        PipelineCodec.WriteOperation(_buffer, operation);
        _messageOperations++;
        return offset;
    }

    /// <summary>Takes back an operation that has not been handed over: its bytes stay, as a field that readers skip.</summary>
    public void Withdraw(int offset) => _buffer.Overwrite(offset, SkippedTag);

    public int MessageCount => _cuts.Count + 1;

    public ReadOnlyMemory<byte> Message(int index)
    {
        int start = index == 0 ? 0 : _cuts[index - 1];
        int end = index < _cuts.Count ? _cuts[index] : _buffer.WrittenCount;
        return _buffer.WrittenMemory[start..end];
    }

    public void Clear()
    {
        _buffer.Clear(KeepBytes);
        _cuts.Clear();
        _messageStart = 0;
        _messageOperations = 0;
    }
}

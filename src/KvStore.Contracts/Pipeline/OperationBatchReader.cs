namespace KvStore.Contracts.Pipeline;

/// <summary>The operations of one OperationBatch, one after the other. What it yields slices the frame.</summary>
public ref struct OperationBatchReader(ReadOnlyMemory<byte> frame)
{
    private WireReader _reader = new(frame);
    private int _count;

    /// <summary>False at the end of the batch.</summary>
    /// <exception cref="MalformedFrameException">The frame is not an OperationBatch, or holds more than <see cref="KvLimits.MaxBatchOperations"/> operations.</exception>
    public bool MoveNext(out WireOperation operation)
    {
        while (_reader.NextTag(out uint tag))
        {
            if (tag != PipelineCodec.ElementTag)
            {
                _reader.Skip(tag);
                continue;
            }

            ReadOnlyMemory<byte> body = _reader.Bytes();
            if (_reader.Malformed || !OperationCodec.TryRead(body, out operation))
            {
                throw new MalformedFrameException($"Operation {_count} of the batch is malformed.");
            }

            if (++_count > KvLimits.MaxBatchOperations)
            {
                throw new MalformedFrameException($"The batch holds more than {KvLimits.MaxBatchOperations} operations.");
            }

            return true;
        }

        if (_reader.Malformed)
        {
            throw new MalformedFrameException($"The batch is malformed behind operation {_count}.");
        }

        operation = default;
        return false;
    }
}

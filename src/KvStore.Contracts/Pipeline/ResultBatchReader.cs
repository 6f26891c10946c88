namespace KvStore.Contracts.Pipeline;

/// <summary>The results of one ResultBatch, one after the other. What it yields slices the frame. Their number is bounded by the length of the frame alone: a node answers as many as are ready.</summary>
public ref struct ResultBatchReader(ReadOnlyMemory<byte> frame)
{
    private WireReader _reader = new(frame);
    private int _count;

    /// <summary>False at the end of the batch.</summary>
    /// <exception cref="MalformedFrameException">The frame is not a ResultBatch.</exception>
    public bool MoveNext(out WireResult result)
    {
        while (_reader.NextTag(out uint tag))
        {
            if (tag != PipelineCodec.ElementTag)
            {
                _reader.Skip(tag);
                continue;
            }

            ReadOnlyMemory<byte> body = _reader.Bytes();
            if (_reader.Malformed || !ResultCodec.TryRead(body, out result))
            {
                throw new MalformedFrameException($"Result {_count} of the batch is malformed.");
            }

            _count++;
            return true;
        }

        if (_reader.Malformed)
        {
            throw new MalformedFrameException($"The batch is malformed behind result {_count}.");
        }

        result = default;
        return false;
    }
}

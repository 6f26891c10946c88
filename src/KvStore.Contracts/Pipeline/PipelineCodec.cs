namespace KvStore.Contracts.Pipeline;

/// <summary>
/// Operations and results to protobuf bytes and back, by hand. The bytes are those of generated code. "Element" means tag, length and body, as one entry of OperationBatch.operations or
/// ResultBatch.results: several of them behind one another are a valid batch. "Body" is the message alone, for frames that carry it as a field of their own.
/// </summary>
public static class PipelineCodec
{
    /// <summary>Field 1, length-delimited: operations of an OperationBatch and results of a ResultBatch alike.</summary>
    internal const uint ElementTag = 10;

    /// <summary>Bytes of the body of kvstore.v1.Operation.</summary>
    public static int OperationSize(in WireOperation operation) => OperationCodec.Size(operation);

    /// <summary>Bytes of the body of kvstore.v1.Result.</summary>
    public static int ResultSize(in WireResult result) => ResultCodec.Size(result);

    /// <summary>Bytes of a body of this size as an element of a batch.</summary>
    public static int ElementSize(int bodySize) => WireWriter.ElementSize(1, bodySize);

    /// <summary>Appends the operation as an element of an OperationBatch.</summary>
    /// <exception cref="InvalidOperationException">The buffer's maximum would be exceeded; nothing is written.</exception>
    public static void WriteOperation(FrameBuffer buffer, in WireOperation operation)
    {
        int bodySize = OperationCodec.Size(operation);
        int size = ElementSize(bodySize);
        WireWriter writer = new(buffer.GetSpan(size));
        writer.ElementHead(ElementTag, bodySize);
        OperationCodec.Write(ref writer, operation);
        buffer.Advance(size);
    }

    /// <summary>Appends the result as an element of a ResultBatch.</summary>
    /// <exception cref="InvalidOperationException">The buffer's maximum would be exceeded; nothing is written.</exception>
    public static void WriteResult(FrameBuffer buffer, in WireResult result)
    {
        int bodySize = ResultCodec.Size(result);
        int size = ElementSize(bodySize);
        WireWriter writer = new(buffer.GetSpan(size));
        writer.ElementHead(ElementTag, bodySize);
        ResultCodec.Write(ref writer, result);
        buffer.Advance(size);
    }

    /// <summary>Writes the body into a span of at least <see cref="OperationSize"/> bytes; returns how many it took.</summary>
    public static int WriteOperationBody(Span<byte> destination, in WireOperation operation)
    {
        WireWriter writer = new(destination);
        OperationCodec.Write(ref writer, operation);
        return writer.Written;
    }

    /// <summary>Writes the body into a span of at least <see cref="ResultSize"/> bytes; returns how many it took.</summary>
    public static int WriteResultBody(Span<byte> destination, in WireResult result)
    {
        WireWriter writer = new(destination);
        ResultCodec.Write(ref writer, result);
        return writer.Written;
    }

    /// <summary>False when the body is malformed. Its memory is sliced, not copied. Enum values that are not known come through as numbers.</summary>
    public static bool TryReadOperation(ReadOnlyMemory<byte> body, out WireOperation operation) => OperationCodec.TryRead(body, out operation);

    /// <inheritdoc cref="TryReadOperation"/>
    public static bool TryReadResult(ReadOnlyMemory<byte> body, out WireResult result) => ResultCodec.TryRead(body, out result);
}

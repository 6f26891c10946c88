using System.Buffers;
using System.Globalization;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Node.Clients;
using KvStore.Node.Loops;

namespace KvStore.Node.Rest;

/// <summary>One key: GET, HEAD, PUT, DELETE, with the value as the body; and POST, which adds to a counter.</summary>
internal static class KeyResource
{
    private const string Octets = "application/octet-stream";

    public static async Task Get(HttpContext context, [AsParameters] ReadParameters read, string? key, LoopSet loops, OperationExecutor executor, bool siblings = false)
    {
        _ = key; // For the OpenAPI document; the bytes come from the target itself, and a target without a key is refused there.
        (ReadLevel level, uint maxStalenessMs) = read.ParsedLevel();
        var operation = new WireOperation { Kind = OperationKind.Get, Key = RestKey.Of(context), Level = level, MaxStalenessMs = maxStalenessMs };
        Result result = await new RestCall(context, read, loops, executor).RunAsync(operation);
        if (!result.Found)
        {
            throw new RestRefusal(StatusCodes.Status404NotFound, Code.Unspecified, Outcome.Done, retryable: false, "The key has no value.");
        }

        if (siblings)
        {
            await context.Response.WriteAsJsonAsync(SiblingsDocument.Of(result), ReadableJson.Context.SiblingsDocument, cancellationToken: context.RequestAborted);
            return;
        }

        if (context.Request.Headers.IfNoneMatch.ToString() is { Length: > 0 } known && known == context.Response.Headers.ETag)
        {
            context.Response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        context.Response.ContentType = Octets;
        context.Response.ContentLength = result.Value.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await context.Response.Body.WriteAsync(result.Value.Memory, context.RequestAborted);
        }
    }

    public static async Task Put(HttpContext context, [AsParameters] PutParameters write, string? key, LoopSet loops, OperationExecutor executor)
    {
        _ = key;
        WireOperation operation = Describe(context, write, OperationKind.Put);
        operation.TtlMs = write.ParsedTtlMs;
        var call = new RestCall(context, write, loops, executor);
        operation.Value = await ReadValueAsync(context);
        await call.RunAsync(operation);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    public static async Task Delete(HttpContext context, [AsParameters] WriteParameters write, string? key, LoopSet loops, OperationExecutor executor)
    {
        _ = key;
        await new RestCall(context, write, loops, executor).RunAsync(Describe(context, write, OperationKind.Delete));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    /// <summary>Adds to a counter; the body of the answer is what it is then, as decimal text, which is also what a GET shows.</summary>
    public static async Task Increment(HttpContext context, [AsParameters] IncrementParameters increment, string? key, LoopSet loops, OperationExecutor executor)
    {
        _ = key;
        (ulong session, ulong sequence) = increment.ParsedRequestId();
        var operation = new WireOperation
        {
            Kind = OperationKind.Increment,
            Key = RestKey.Of(context),
            Delta = increment.ParsedIncrement,
            TtlMs = increment.ParsedTtlMs,
            MayHaveHappened = increment.ParsedMayHaveHappened,
            Session = session,
            Sequence = sequence,
        };
        Result result = await new RestCall(context, increment, loops, executor).RunAsync(operation);
        context.Response.ContentType = "text/plain";
        await context.Response.WriteAsync(result.Counter.ToString(CultureInfo.InvariantCulture), context.RequestAborted);
    }

    private static WireOperation Describe(HttpContext context, WriteParameters write, OperationKind kind)
    {
        (WriteCondition condition, byte[] version) = write.ParsedCondition();
        (ulong session, ulong sequence) = write.ParsedRequestId();
        return new WireOperation { Kind = kind, Key = RestKey.Of(context), Condition = condition, Version = version, Session = session, Sequence = sequence };
    }

    private static async Task<ReadOnlyMemory<byte>> ReadValueAsync(HttpContext context)
    {
        string TooLong(long length) => $"The value has {length} bytes or more; at most {KvLimits.MaxValueBytes} are allowed. Split it, or keep it elsewhere and store a reference.";
        if (context.Request.ContentLength is { } announced && announced > KvLimits.MaxValueBytes)
        {
            throw RestRefusal.TooLarge(TooLong(announced));
        }

        var value = new ArrayBufferWriter<byte>((int)(context.Request.ContentLength ?? 0) + 1);
        while (true)
        {
            System.IO.Pipelines.ReadResult read = await context.Request.BodyReader.ReadAsync(context.RequestAborted);
            long length = value.WrittenCount + read.Buffer.Length;
            if (length > KvLimits.MaxValueBytes)
            {
                // Handed back first: a reading that is left open would cost the caller the answer.
                context.Request.BodyReader.AdvanceTo(read.Buffer.End);
                throw RestRefusal.TooLarge(TooLong(length));
            }

            foreach (ReadOnlyMemory<byte> piece in read.Buffer)
            {
                value.Write(piece.Span);
            }

            context.Request.BodyReader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                return value.WrittenMemory;
            }
        }
    }
}

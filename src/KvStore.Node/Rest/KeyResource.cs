using System.Buffers;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Node.Catalog;
using KvStore.Node.Clients;
using KvStore.Node.Loops;

namespace KvStore.Node.Rest;

/// <summary>One key: GET, HEAD, PUT, DELETE. The body is the value.</summary>
internal static class KeyResource
{
    private const string Octets = "application/octet-stream";

    public static async Task Get(HttpContext context, [AsParameters] ReadParameters read, string key, LoopSet loops, OperationExecutor executor, bool siblings = false)
    {
        _ = key; // For the OpenAPI document; the bytes come from the target itself.
        Result result = await RunAsync(
            context,
            executor,
            new WireOperation { Kind = OperationKind.Get, KeyspaceId = Find(loops, read.Keyspace).Id, Key = RestKey.Of(context), Level = read.ParsedLevel, TimeoutMs = read.ParsedTimeoutMs });
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

    public static async Task Put(HttpContext context, [AsParameters] WriteParameters write, string key, LoopSet loops, OperationExecutor executor)
    {
        _ = key;
        WireOperation operation = Describe(context, write, loops, OperationKind.Put);
        operation.Value = await ReadValueAsync(context);
        await RunAsync(context, executor, operation);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    public static async Task Delete(HttpContext context, [AsParameters] WriteParameters write, string key, LoopSet loops, OperationExecutor executor)
    {
        _ = key;
        await RunAsync(context, executor, Describe(context, write, loops, OperationKind.Delete));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    /// <exception cref="RestRefusal">There is none of that name, this node can't tell, or it is the system's.</exception>
    public static CatalogKeyspace Find(LoopSet loops, string name) => loops.Router.Find(name) switch
    {
        { Id: > 0 } keyspace => keyspace,
        null when !loops.Router.HasReadCatalog => throw RestRefusal.CatalogUnread(),
        _ => throw RestRefusal.UnknownKeyspace(name),
    };

    private static WireOperation Describe(HttpContext context, WriteParameters write, LoopSet loops, OperationKind kind)
    {
        (WriteCondition condition, byte[] version) = write.ParsedCondition();
        (ulong session, ulong sequence) = write.ParsedRequestId();
        return new WireOperation
        {
            Kind = kind,
            KeyspaceId = Find(loops, write.Keyspace).Id,
            Key = RestKey.Of(context),
            Condition = condition,
            Version = version,
            Session = session,
            Sequence = sequence,
            TimeoutMs = write.ParsedTimeoutMs,
        };
    }

    private static async Task<Result> RunAsync(HttpContext context, OperationExecutor executor, WireOperation operation)
    {
        Result result = await executor.ExecuteAsync(operation, context.RequestAborted);
        AnswerHeaders.Write(context.Response, result);
        return result.Outcome == Outcome.Done ? result : throw RestRefusal.Of(result);
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

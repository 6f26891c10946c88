using Grpc.Core;
using KvStore.Contracts.V1;
using KvStore.Node.Clients;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace KvStore.Node.Rest;

/// <summary>Around every request of the HTTP face: a bound on how many run at a time, a least pace for bodies, and problem documents for whatever goes wrong.</summary>
internal sealed class RestErrors(RequestDelegate next, ILogger<RestErrors> log)
{
    /// <summary>Each may hold a value of 1 MiB in memory.</summary>
    private const int MostAtOnce = 512;

    /// <summary>A sender slower than this, after a grace of five seconds, is cut off.</summary>
    private static readonly MinDataRate LeastPace = new(bytesPerSecond: 240, TimeSpan.FromSeconds(5));

    private int _running;

    public static bool Covers(HttpContext context) => context.Request.Path.StartsWithSegments("/v1", StringComparison.Ordinal);

    public async Task InvokeAsync(HttpContext context)
    {
        if (context.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } pace && HttpProtocol.IsHttp11(context.Request.Protocol))
        {
            pace.MinDataRate = LeastPace;
        }

        // Watches last, and have a bound of their own.
        int counts = context.Request.Path.Value!.EndsWith("/watch", StringComparison.Ordinal) ? 0 : 1;
        try
        {
            if (Interlocked.Add(ref _running, counts) > MostAtOnce && counts > 0)
            {
                throw new RestRefusal(StatusCodes.Status429TooManyRequests, Code.Overloaded, Outcome.NotDone, retryable: true, $"This node already works on {MostAtOnce} HTTP requests; slow down and try again.");
            }

            await next(context);
        }
        catch (RestRefusal refusal)
        {
            await WriteAsync(context, refusal);
        }
        catch (RpcException refused)
        {
            await WriteAsync(context, OfAdmin(refused));
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException malformed)
        {
            await WriteAsync(context, new RestRefusal(malformed.StatusCode, Code.InvalidArgument, Outcome.NotDone, retryable: false, malformed.Message));
        }
        catch (Exception gone) when (gone is ConnectionResetException or ConnectionAbortedException || (gone is OperationCanceledException && context.RequestAborted.IsCancellationRequested))
        {
            // The caller went away, perhaps in the middle of its body; nobody reads an answer.
        }
        catch (Exception defect) when (defect is not OutOfMemoryException)
        {
            RestLog.Failed(log, context.Request.Method, defect);
            await WriteAsync(context, new RestRefusal(StatusCodes.Status500InternalServerError, Code.Unspecified, Outcome.Unknown, retryable: false, "A defect of this node ended the request; its log says which."));
        }
        finally
        {
            Interlocked.Add(ref _running, -counts);
        }
    }

    private static RestRefusal OfAdmin(RpcException refused)
    {
        if (refused.Trailers.GetValueBytes(ResultMessages.RefusalTrailer) is { } bytes)
        {
            Refusal refusal = Refusal.Parser.ParseFrom(bytes);
            return new RestRefusal(RestRefusal.StatusOf(refusal.Code), refusal.Code, refusal.Outcome, refusal.Retryable, refusal.Reason);
        }

        (int status, Code code, Outcome outcome, bool retryable) = refused.StatusCode switch
        {
            StatusCode.InvalidArgument => (StatusCodes.Status400BadRequest, Code.InvalidArgument, Outcome.NotDone, false),
            StatusCode.NotFound => (StatusCodes.Status404NotFound, Code.UnknownKeyspace, Outcome.NotDone, false),
            StatusCode.AlreadyExists => (StatusCodes.Status409Conflict, Code.InvalidArgument, Outcome.NotDone, false),
            StatusCode.FailedPrecondition => (StatusCodes.Status409Conflict, Code.InvalidArgument, Outcome.NotDone, false),
            StatusCode.Aborted => (StatusCodes.Status409Conflict, Code.ChangePending, Outcome.NotDone, true),
            StatusCode.ResourceExhausted => (StatusCodes.Status429TooManyRequests, Code.Overloaded, Outcome.NotDone, true),
            StatusCode.DeadlineExceeded => (StatusCodes.Status504GatewayTimeout, Code.DeadlineExceeded, Outcome.Unknown, true),
            _ => (StatusCodes.Status503ServiceUnavailable, Code.NoLeader, Outcome.Unknown, true),
        };
        return new RestRefusal(status, code, outcome, retryable, refused.Status.Detail);
    }

    private static async Task WriteAsync(HttpContext context, RestRefusal refusal)
    {
        if (context.Response.HasStarted)
        {
            context.Abort();
            return;
        }

        HttpResponse response = context.Response;
        response.StatusCode = refusal.Status;
        response.Headers[AnswerHeaders.Outcome] = AnswerHeaders.NameOf(refusal.Outcome);
        response.Headers[AnswerHeaders.Code] = AnswerHeaders.NameOf(refusal.Code);
        if (refusal.Retryable && refusal.Status is StatusCodes.Status503ServiceUnavailable or StatusCodes.Status429TooManyRequests)
        {
            response.Headers.RetryAfter = "1";
        }

        string title = refusal.Status == StatusCodes.Status404NotFound && refusal.Code == Code.Unspecified ? "Key not found" : Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(refusal.Status);
        var problem = new ProblemDocument("about:blank", title, refusal.Status, refusal.Message, AnswerHeaders.NameOf(refusal.Code), AnswerHeaders.NameOf(refusal.Outcome), refusal.Retryable);
        await response.WriteAsJsonAsync(problem, ReadableJson.Context.ProblemDocument, "application/problem+json", context.RequestAborted);
    }
}

internal static partial class RestLog
{
    [LoggerMessage(EventId = 5001, Level = LogLevel.Error, Message = "A defect ended an HTTP request ({Method})")]
    public static partial void Failed(ILogger logger, string method, Exception error);
}

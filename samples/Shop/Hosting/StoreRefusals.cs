using KvStore.Client;
using Microsoft.AspNetCore.Diagnostics;

namespace Shop.Hosting;

/// <summary>Tells visitors in plain words that the store has refused, and whether anything was done: 503, with the time to wait.</summary>
public sealed class StoreRefusals(IProblemDetailsService problems) : IExceptionHandler
{
    private const int RetryAfterSeconds = 5;

    public async ValueTask<bool> TryHandleAsync(HttpContext http, Exception exception, CancellationToken cancellationToken)
    {
        // Misuse is a bug of the shop, and stays a 500.
        if (exception is not KvException refusal || refusal.Code is KvCode.UnknownKeyspace or KvCode.LevelNotOffered or KvCode.InvalidArgument or KvCode.TooLarge or KvCode.WrongType)
        {
            return false;
        }

        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        http.Response.Headers.RetryAfter = $"{RetryAfterSeconds}";
        return await problems.TryWriteAsync(new ProblemDetailsContext
        {
            HttpContext = http,
            ProblemDetails =
            {
                Status = StatusCodes.Status503ServiceUnavailable,
                Title = refusal.OutcomeUnknown ? "It may have been done. Ask again: it is not done twice." : "Not now. Nothing was done; ask again in a moment.",
                Detail = refusal.Message,
                Extensions = { ["code"] = $"{refusal.Code}", ["unreachable"] = refusal.Missing.Select(replica => replica.Node).ToArray() },
            },
        });
    }
}

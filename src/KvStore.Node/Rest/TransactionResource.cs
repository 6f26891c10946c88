using System.Text.Json;
using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Node.Clients;
using KvStore.Node.Loops;

namespace KvStore.Node.Rest;

/// <summary>Several keys of one shard, compared and changed at one stroke.</summary>
internal static class TransactionResource
{
    private const string Example = """{"if": [{"key": "{7}/state", "text": "open"}], "then": [{"put": "{7}/state", "text": "paid"}], "else": [{"get": "{7}/state"}]}""";

    /// <summary>What a transaction may have in bytes takes a third more in base64, and some for the JSON around it.</summary>
    private const int MostBytes = 2 * KvLimits.MaxTransactionBytes;

    public static async Task<TransactionResultDocument> Post(HttpContext context, [AsParameters] TransactionParameters parameters, LoopSet loops, OperationExecutor executor)
    {
        bool base64 = RestKey.IsBase64(context);
        Transaction transaction = (await ReadAsync(context)).ToMessage(base64);
        (ulong session, ulong sequence) = parameters.ParsedRequestId();
        Result result = await new RestCall(context, parameters, loops, executor).RunAsync(new WireOperation
        {
            Kind = OperationKind.Transaction,
            Key = TransactionMapper.AnyKey(transaction),
            Transaction = transaction.ToByteArray(),
            Session = session,
            Sequence = sequence,
        });
        context.Response.Headers.Remove("ETag");
        return TransactionResultDocument.Of(transaction, result.Transaction, base64);
    }

    private static async Task<TransactionDocument> ReadAsync(HttpContext context)
    {
        string tooLong = $"The body of a transaction has at most {MostBytes} bytes: {KvLimits.MaxTransactionBytes} of keys, versions and values, and what JSON adds to them.";
        if (context.Request.ContentLength is > MostBytes)
        {
            throw RestRefusal.TooLarge(tooLong);
        }

        if (context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
        {
            limit.MaxRequestBodySize = MostBytes;
        }

        try
        {
            return await context.Request.ReadFromJsonAsync(RestJson.Default.TransactionDocument, context.RequestAborted) ?? throw RestRefusal.BadRequest($"The body is null: send a transaction as JSON, such as {Example}.");
        }
        catch (JsonException malformed)
        {
            throw RestRefusal.BadRequest($"The transaction can't be read ({malformed.Message}): send JSON, such as {Example}.");
        }
        catch (InvalidOperationException)
        {
            throw RestRefusal.BadRequest($"Send the transaction with Content-Type: application/json, such as {Example}.");
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException refused) when (refused.StatusCode == StatusCodes.Status413PayloadTooLarge)
        {
            throw RestRefusal.TooLarge(tooLong);
        }
    }
}

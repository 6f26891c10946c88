using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Node.Clients;
using KvStore.Node.Loops;

namespace KvStore.Node.Rest;

/// <summary>Keys with a prefix, page by page.</summary>
internal static class ScanResource
{
    public static async Task<ScanDocument> Get(
        HttpContext context,
        [AsParameters] ReadParameters read,
        LoopSet loops,
        KeyspaceScan scan,
        string? prefix = null,
        string? after = null,
        string? limit = null)
    {
        _ = (prefix, after); // For the OpenAPI document; the bytes come from the target itself.
        (ReadLevel level, uint maxStalenessMs) = read.ParsedLevel();
        var call = new RestCall(context, read, loops);
        ScanPage page = await scan.ReadAsync(
            call.Keyspace,
            RestKey.OfQuery(context, "prefix"),
            RestKey.OfQuery(context, "after"),
            (int)RequestNumbers.Parse(limit, "limit", 1, KvLimits.MaxScanRecords, KvLimits.DefaultScanRecords),
            level,
            maxStalenessMs,
            call.Session,
            call.TimeoutMs,
            RestRefusal.OfRead,
            context.RequestAborted);
        call.TellSession();
        return ScanDocument.Of(page, RestKey.IsBase64(context));
    }
}

using KvStore.Contracts;
using KvStore.Contracts.Pipeline;

namespace KvStore.Client.Operations;

/// <summary>One record of a scan, and the page that it came with.</summary>
internal readonly record struct ScanRecord(WireScanItem Item, WireResult Page);

/// <summary>
/// Merges the scans of all shards into key order. Each shard has one page in memory; the first pages are fetched together, later ones when a shard has run dry. A prefix that holds a whole "{tag}" lives in
/// one shard, and only that one is asked.
/// </summary>
internal sealed class ScanMerge(KvRange range, int shardCount, Func<int, ReadOnlyMemory<byte>, ValueTask<WireResult>> fetch) : IAsyncEnumerable<ScanRecord>
{
    private static readonly Comparer<ReadOnlyMemory<byte>> Bytewise = Comparer<ReadOnlyMemory<byte>>.Create((a, b) => a.Span.SequenceCompareTo(b.Span));

    public async IAsyncEnumerator<ScanRecord> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        PriorityQueue<Cursor, ReadOnlyMemory<byte>> heads = new(Bytewise);
        List<(int Shard, Task<WireResult> Page)> first = [.. Shards().Select(shard => (shard, fetch(shard, range.After).AsTask()))];
        WireResult[] pages = await Task.WhenAll(first.Select(f => f.Page)).ConfigureAwait(false);
        for (int i = 0; i < pages.Length; i++)
        {
            Cursor cursor = new(first[i].Shard, pages[i]);
            await AdvanceAsync(cursor, heads, range.After).ConfigureAwait(false);
        }

        while (heads.TryDequeue(out Cursor? cursor, out ReadOnlyMemory<byte> key))
        {
            yield return new ScanRecord(cursor.Page.Items![cursor.Next++], cursor.Page);
            await AdvanceAsync(cursor, heads, key).ConfigureAwait(false);
        }
    }

    private IEnumerable<int> Shards()
    {
        ReadOnlySpan<byte> prefix = range.StartsWith.Span;
        return KeyRouting.RoutedPart(prefix).Length < prefix.Length ? [KeyRouting.ShardOf(prefix, shardCount)] : Enumerable.Range(0, shardCount);
    }

    /// <summary>Puts the cursor back in line at its next record, which may be on its next page; not at all when it is at its end.</summary>
    private async ValueTask AdvanceAsync(Cursor cursor, PriorityQueue<Cursor, ReadOnlyMemory<byte>> heads, ReadOnlyMemory<byte> last)
    {
        if (cursor.Next >= cursor.Count)
        {
            if (!cursor.Page.More || (cursor.Count == 0 && cursor.Page.Items is null))
            {
                return;
            }

            cursor.Page = await fetch(cursor.Shard, last).ConfigureAwait(false);
            cursor.Next = 0;
            if (cursor.Count == 0)
            {
                return;
            }
        }

        heads.Enqueue(cursor, cursor.Page.Items![cursor.Next].Key);
    }

    private sealed class Cursor(int shard, WireResult page)
    {
        public int Shard { get; } = shard;

        public WireResult Page = page;

        public int Next { get; set; }

        public int Count => Page.Items?.Count ?? 0;
    }
}

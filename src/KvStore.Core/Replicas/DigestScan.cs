using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Reads all records of an open shard in the background after a start, one page at a time and at most one a tick, so that its digests say what the data comes to.</summary>
internal sealed class DigestScan(DataDigests digests, RecordLoader loader, ReplicaOptions options)
{
    private const int PageRecords = 2_000;

    private bool _reading;

    /// <summary>Nothing is being read, and nothing is to be read.</summary>
    public bool IsIdle => !_reading && !digests.NeedsPage;

    public void OnTick()
    {
        if (!digests.NeedsPage)
        {
            return;
        }

        _reading = true;
        ReadOnlyMemory<byte> after = digests.BeginPage();
        loader.Scan(RecordSpace.Data, default, after, PageRecords, options.ScanPageBytes, page =>
        {
            _reading = false;
            digests.TakePage([.. page.Records.Select(record => (new Key(record.Key), record.Record))], last: !page.More);
        });
    }
}

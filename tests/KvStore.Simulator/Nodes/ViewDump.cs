using KvStore.Core.Replicas;

namespace KvStore.Simulator.Nodes;

/// <summary>Scans that the simulator asks of a node's view, beside those of the replica: everything in it, page by page.</summary>
internal sealed class ViewDump
{
    private readonly Dictionary<ulong, Action<ScanPage>> _scans = [];
    private ulong _last;

    /// <summary>The process is gone, and its scans with it.</summary>
    public void Clear() => _scans.Clear();

    /// <summary>Takes a page, if it is one of these scans.</summary>
    public bool TryTake(ScanPage page)
    {
        if (!_scans.Remove(page.Tag, out Action<ScanPage>? then))
        {
            return false;
        }

        then(page);
        return true;
    }

    public void Begin(IReplicaStorage view, Action<IReadOnlyList<ScannedRecord>> then) => ReadOn(view, default, [], then);

    private void ReadOn(IReplicaStorage view, ScannedRecord after, List<ScannedRecord> found, Action<IReadOnlyList<ScannedRecord>> then)
    {
        ulong tag = ulong.MaxValue - ++_last;
        _scans.Add(tag, page =>
        {
            found.AddRange(page.Records);
            if (page.More)
            {
                ReadOn(view, page.Records[^1], found, then);
            }
            else
            {
                then(found);
            }
        });
        view.BeginScan(new ScanRequest { Tag = tag, After = after.Key, AfterSpace = after.Space, MaxRecords = 1_000, MaxBytes = 1 << 20 });
    }
}

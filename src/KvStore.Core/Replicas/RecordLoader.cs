namespace KvStore.Core.Replicas;

/// <summary>
/// What waits for the disk: single records and scans, each with what to do when it is there. The loop never blocks: the work is parked here, and the loop goes on. A continuation per
/// disk read is an allocation that does not matter beside the read.
/// </summary>
internal sealed class RecordLoader(IReplicaStorage storage, ViewState view)
{
    private readonly Dictionary<ulong, Action> _loads = [];
    private readonly Dictionary<ulong, Action<ScanPage>> _scans = [];
    private readonly List<Action> _held = [];
    private ulong _lastTag;
    private bool _holds;

    public int Waiting => _loads.Count + _scans.Count + _held.Count;

    /// <summary>The view is being replaced and can't be scanned: what wants to is kept.</summary>
    public void Hold() => _holds = true;

    /// <summary>The view is there again.</summary>
    public void Release()
    {
        _holds = false;
        Action[] held = [.. _held];
        _held.Clear();
        foreach (Action scan in held)
        {
            scan();
        }
    }

    /// <summary>Fetches a record into memory, then runs <paramref name="then"/> on the loop.</summary>
    public void Load(RecordSpace space, ReadOnlySpan<byte> key, Action then)
    {
        ulong tag = ++_lastTag;
        _loads.Add(tag, then);
        storage.BeginLoad(space, key.ToArray(), tag);
    }

    /// <summary>Seals the view and reads one page of it as it stands now.</summary>
    public void Scan(RecordSpace space, ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after, int maxRecords, int maxBytes, Action<ScanPage> then)
    {
        if (_holds)
        {
            _held.Add(() => Scan(space, prefix, after, maxRecords, maxBytes, then));
            return;
        }

        view.Seal();
        ulong tag = ++_lastTag;
        _scans.Add(tag, then);
        storage.BeginScan(new ScanRequest { Tag = tag, Space = space, Prefix = prefix, After = after, AfterSpace = space, MaxRecords = maxRecords, MaxBytes = maxBytes });
    }

    /// <summary>Reads a whole space, page by page: each record goes to <paramref name="each"/>, then <paramref name="then"/> runs.</summary>
    public void ScanAll(RecordSpace space, int pageBytes, Action<ScannedRecord> each, Action then) => ScanRest(space, default, pageBytes, each, then);

    public void OnLoaded(ulong tag)
    {
        if (_loads.Remove(tag, out Action? then))
        {
            then();
        }
    }

    public bool OnScanned(ScanPage page)
    {
        if (!_scans.Remove(page.Tag, out Action<ScanPage>? then))
        {
            return false;
        }

        then(page);
        return true;
    }

    private void ScanRest(RecordSpace space, ReadOnlyMemory<byte> after, int pageBytes, Action<ScannedRecord> each, Action then)
    {
        const int PageRecords = 1_000;
        Scan(space, default, after, PageRecords, pageBytes, page =>
        {
            foreach (ScannedRecord record in page.Records)
            {
                each(record);
            }

            if (page.More)
            {
                ScanRest(space, page.Records[^1].Key, pageBytes, each, then);
            }
            else
            {
                then();
            }
        });
    }
}

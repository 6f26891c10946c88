using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Fills the <see cref="ExpiryIndex"/> from the view, a page a tick: after a start, after a snapshot, and when keys had to be left out. A shard that never held anything that expires is not scanned.</summary>
internal sealed class ExpiryScan(ReplicaOptions options, ExpiryIndex expiries, RecordLoader loader, ViewState view)
{
    private const int PageRecords = 1_000;

    private bool _wanted;
    private bool _reading;
    private int _generation;
    private ReadOnlyMemory<byte> _after;

    public bool IsIdle => !_wanted && !expiries.WantsScan;

    /// <summary>The view has become another one: what is known of it is void.</summary>
    public void Begin()
    {
        _generation++;
        _reading = false;
        _after = default;
        _wanted = expiries.IsInUse;
        expiries.BeginScan();
    }

    public void OnTick()
    {
        if (view.IsReplacing)
        {
            return;
        }

        if (!_wanted && expiries.WantsScan)
        {
            Begin();
        }

        if (!_wanted || _reading)
        {
            return;
        }

        _reading = true;
        int generation = _generation;
        loader.Scan(RecordSpace.Data, default, _after, PageRecords, options.ScanPageBytes, page =>
        {
            if (generation == _generation)
            {
                Take(page);
            }
        });
    }

    /// <summary>How long the values that expire at this time were given to live.</summary>
    public static ulong TtlOf(DottedObject held, ulong expiresMs)
    {
        ulong longest = 0;
        foreach (ref readonly DottedValue value in held.Values)
        {
            longest = value.ExpiresMs == expiresMs ? Math.Max(longest, value.TtlMs) : longest;
        }

        return longest;
    }

    private void Take(ScanPage page)
    {
        _reading = false;
        foreach (ScannedRecord record in page.Records)
        {
            DottedObject held = DottedObject.Decode(record.Record);
            if (held.NextExpiryMs is > 0 and var next)
            {
                expiries.NoteIfUnknown(record.Key.Span, next, TtlOf(held, next));
            }
        }

        _wanted = page.More;
        _after = page.More ? page.Records[^1].Key : default;
    }
}

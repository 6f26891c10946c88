using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Looks at records of an ordered shard as they stand here, for whoever can do without any promise of freshness.</summary>
internal sealed class ViewPeek(ReplicaParts parts)
{
    private bool _peeks;

    /// <summary>A record as it stands here, without any promise of freshness. False where it is absent or not in memory.</summary>
    public bool TryPeek(ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> value, out LogIndex version)
    {
        (value, version) = (default, LogIndex.Zero);
        if (!parts.Regimes.IsOrdered || parts.View.IsReplacing)
        {
            return false;
        }

        RecordLookup lookup = parts.Storage.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record);
        if (lookup == RecordLookup.NotResident && !_peeks)
        {
            // After a snapshot, or a start that read only a part back: without this, nobody might ever ask for it otherwise.
            _peeks = true;
            parts.Loader.Load(RecordSpace.Data, key, () => _peeks = false);
        }

        if (lookup != RecordLookup.Found || !OrderedRecord.IsOrdered(record.Span))
        {
            return false;
        }

        OrderedRecord found = OrderedRecord.Decode(record);
        (value, version) = (found.Visible, found.Index);
        return true;
    }

    /// <summary>The view was replaced: what was asked for may not come.</summary>
    public void OnViewReplaced() => _peeks = false;
}

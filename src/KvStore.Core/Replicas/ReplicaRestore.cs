namespace KvStore.Core.Replicas;

/// <summary>Reads back what a replica remembers of itself in its view beside the data, after a start and after a snapshot.</summary>
internal sealed class ReplicaRestore(ReplicaParts parts, RegimeEngines engines, RecoveredReplica recovered)
{
    private ReadOnlyMemory<byte> _dottedState;

    /// <summary>The members as the view says; null where it says nothing of them.</summary>
    public ShardMembers? Members { get; private set; }

    /// <summary>After a start: all that is kept beside the data.</summary>
    public void ReadAll(Action then) => parts.Loader.ScanAll(RecordSpace.Meta, parts.Options.ScanPageBytes, record => Restore(record), () =>
    {
        if (!parts.Regimes.IsOrdered)
        {
            engines.Periods.Restore(_dottedState);
        }

        parts.Loader.ScanAll(RecordSpace.DotKeys, parts.Options.ScanPageBytes, record => Restore(record), () =>
            parts.Loader.ScanAll(RecordSpace.Journal, parts.Options.ScanPageBytes, record => Restore(record), () =>
                parts.Loader.ScanAll(RecordSpace.Overlay, parts.Options.ScanPageBytes, record => Restore(record), then)));
    });

    /// <summary>After a snapshot: what it has brought.</summary>
    public void ReadMeta(Action then)
    {
        Members = null;
        parts.Loader.ScanAll(RecordSpace.Meta, parts.Options.ScanPageBytes, record => Restore(record), then);
    }

    /// <summary>Repeats what the log says of the overlay behind the view. What the view's log has accounted for goes again.</summary>
    public void ReplayOverlay()
    {
        foreach (RecoveredRecord record in recovered.Records)
        {
            if (record.Kind == LogRecordKind.Overlay && record.Index.Value > parts.View.Dotted)
            {
                parts.Overlay.Replay(record);
            }
        }

        parts.Overlay.OnAccounted();
    }

    private void Restore(in ScannedRecord record)
    {
        if (record.Space == RecordSpace.Journal)
        {
            parts.LostWrites.Restore(record.Key.Span, record.Record.Span);
            return;
        }

        if (record.Space == RecordSpace.Overlay)
        {
            parts.Overlay.Restore(record.Key.Span, record.Record);
            return;
        }

        parts.StateMachine.Restore(record.Key.Span, record.Record);
        if (record.Space == RecordSpace.Meta && record.Key.Span.SequenceEqual(AppliedTerms.Key))
        {
            parts.View.Terms.Restore(record.Record);
        }

        if (record.Space == RecordSpace.DotKeys)
        {
            engines.Open?.Restore(record.Space, record.Key.Span, record.Record);
        }
        else if (record.Key.Span.SequenceEqual(MembersCodec.Key))
        {
            Members = MembersCodec.DecodeMembers(record.Record);
        }
        else if (record.Key.Span.SequenceEqual(OpenState.StateKey))
        {
            _dottedState = record.Record;
        }
        else
        {
            parts.Regimes.Restore(record.Key.Span, record.Record);
        }
    }
}

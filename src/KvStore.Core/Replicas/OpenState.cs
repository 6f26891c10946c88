using System.Buffers;
using KvStore.Core.Eventual;

namespace KvStore.Core.Replicas;

/// <summary>What the dotted engine keeps in the view beside the data: its clock, and the keys of dots that some peer may lack. Written with each seal, read back and brought up to date with the log after a start.</summary>
internal sealed class OpenState(DottedReplica dotted, DottedJournal journal, IReplicaStorage storage, OpenExpirer expirer, bool inMemory)
{
    /// <summary>The Meta record that holds the state of the dotted engine.</summary>
    public static ReadOnlySpan<byte> StateKey => "dotted"u8;

    /// <summary>Before each seal: the clock, and the keys of dots that some peer may lack.</summary>
    public void Write()
    {
        if (inMemory)
        {
            // A clock without the data would claim what is not there.
            return;
        }

        var state = new ArrayBufferWriter<byte>(256);
        dotted.WriteState(state);
        storage.Put(RecordSpace.Meta, StateKey, state.WrittenMemory);
        WriteIndexChanges();
    }

    public void Restore(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        if (space == RecordSpace.DotKeys)
        {
            dotted.RestoreIndexed(key, record.Span);
        }
        else if (!inMemory && key.SequenceEqual(StateKey))
        {
            dotted.ReadState(record);
        }
    }

    /// <summary>Repeats the dotted records that came after the last seal.</summary>
    public void Replay(IReadOnlyList<RecoveredRecord> records, ViewState view)
    {
        foreach (RecoveredRecord record in records)
        {
            if (record.Kind != LogRecordKind.Dotted || record.Index.Value <= view.Dotted)
            {
                continue;
            }

            DottedChange? change = dotted.Replay(record.Index.Value, record.Payload);
            view.AdvanceDotted(record.Index.Value);
            if (change is { } found)
            {
                journal.PutIntoView(found);
                expirer.OnChanged(found);
            }
        }
    }

    /// <summary>Keys of dots that every peer has leave the view.</summary>
    public void OnTick()
    {
        if (inMemory)
        {
            // There is no view that would have to learn of them.
            dotted.TakeIndexChanges();
            dotted.TakeIndexRemovals();
        }

        foreach (ReadOnlyMemory<byte> recordKey in dotted.TakeIndexRemovals())
        {
            storage.Remove(RecordSpace.DotKeys, recordKey.Span);
        }
    }

    /// <summary>The log writes again: the engine's own records leave the view.</summary>
    public void Remove()
    {
        storage.Remove(RecordSpace.Meta, StateKey);
        dotted.ForgetKeysOfDots();
        WriteIndexChanges();
    }

    private void WriteIndexChanges()
    {
        foreach (DotKeyChange change in dotted.TakeIndexChanges())
        {
            if (change.Removes)
            {
                storage.Remove(RecordSpace.DotKeys, change.RecordKey.Span);
            }
            else
            {
                storage.Put(RecordSpace.DotKeys, change.RecordKey.Span, change.Key);
            }
        }
    }
}

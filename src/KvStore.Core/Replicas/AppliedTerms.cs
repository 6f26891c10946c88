using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>What can be said of a place in the log.</summary>
internal enum PlaceCheck
{
    /// <summary>The entry of that term stands there.</summary>
    Held,

    /// <summary>It has not got so far.</summary>
    Ahead,

    /// <summary>An entry of another term stands there: that one is lost for good.</summary>
    Replaced,

    /// <summary>So long ago that nobody remembers.</summary>
    Forgotten,
}

/// <summary>
/// Where in the applied log each term began: so that it can be told whether an entry that somebody saw acknowledged is still part of history, long after the log itself was compacted. It follows from
/// the applied entries alone, is sealed with the view, and travels with snapshots.
/// </summary>
internal sealed class AppliedTerms
{
    /// <summary>Changes of the term that are remembered. A shard that changes its leader every hour remembers ten days.</summary>
    public const int Capacity = 256;

    private const byte Format = 1;

    private readonly List<LogPlace> _starts = [];
    private bool _changed;

    /// <summary>Where the view's Meta space holds it.</summary>
    public static ReadOnlySpan<byte> Key => "terms"u8;

    /// <summary>The next entry was applied.</summary>
    public void Advance(LogIndex index, Term term)
    {
        if (_starts.Count > 0 && _starts[^1].Term == term)
        {
            return;
        }

        if (_starts.Count == Capacity)
        {
            _starts.RemoveAt(0);
        }

        _starts.Add(new LogPlace(term, index));
        _changed = true;
    }

    /// <summary>Nothing is known of what comes before this place.</summary>
    public void Restart(LogIndex index, Term term)
    {
        _starts.Clear();
        if (index > LogIndex.Zero)
        {
            _starts.Add(new LogPlace(term, index));
        }

        _changed = true;
    }

    /// <param name="place">Somebody saw it.</param>
    /// <param name="applied">How far this replica is.</param>
    /// <param name="appliedTerm">The term of the entry there.</param>
    public PlaceCheck Check(LogPlace place, LogIndex applied, Term appliedTerm)
    {
        if (place.Index > applied)
        {
            // Terms never go down along a log: an older entry can't follow.
            return appliedTerm > place.Term ? PlaceCheck.Replaced : PlaceCheck.Ahead;
        }

        for (int i = _starts.Count - 1; i >= 0; i--)
        {
            if (_starts[i].Index <= place.Index)
            {
                return _starts[i].Term == place.Term ? PlaceCheck.Held : PlaceCheck.Replaced;
            }
        }

        return _starts.Count > 0 && place.Term > _starts[0].Term ? PlaceCheck.Replaced : PlaceCheck.Forgotten;
    }

    /// <summary>Before each seal.</summary>
    public void WriteChanges(IReplicaStorage storage)
    {
        if (!_changed || _starts.Count == 0)
        {
            return;
        }

        _changed = false;
        var output = new ArrayBufferWriter<byte>(64);
        VarInt.WriteByte(output, Format);
        VarInt.Write(output, (ulong)_starts.Count);
        foreach (LogPlace start in _starts)
        {
            VarInt.Write(output, start.Term.Value);
            VarInt.Write(output, start.Index.Value);
        }

        storage.Put(RecordSpace.Meta, Key, output.WrittenMemory);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public void Restore(ReadOnlyMemory<byte> record)
    {
        var cursor = new BinaryCursor(record);
        if (cursor.ReadByte() != Format)
        {
            MalformedRecordException.Throw("a record of the applied terms has an unknown format");
        }

        _starts.Clear();
        for (int i = cursor.ReadCount(2); i > 0; i--)
        {
            var start = new LogPlace(new Term(cursor.ReadVarInt()), new LogIndex(cursor.ReadCounter()));
            if (_starts.Count > 0 && (_starts[^1].Term >= start.Term || _starts[^1].Index >= start.Index))
            {
                MalformedRecordException.Throw("the applied terms do not go up");
            }

            _starts.Add(start);
        }

        cursor.ExpectEnd();
        _changed = false;
    }
}

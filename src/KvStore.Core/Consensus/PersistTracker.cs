using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// Knows which entries were handed out to be made durable and which are. Storage works through the batches in order, so a batch that is durable makes all earlier ones durable.
/// </summary>
/// <remarks>
/// The ABA race of asynchronous appends: 2@t1 is handed out, replaced by 2@t2, replaced by 2@t1 again. The acknowledgement of the first 2@t1 looks like one of the last, although
/// storage may yet overwrite it with 2@t2 and lose power. So every batch remembers how much of it is still in the log: a truncation lowers that for all batches that are out, and an
/// acknowledgement counts for the oldest batch it fits.
/// </remarks>
internal sealed class PersistTracker(LogIndex last)
{
    private readonly List<Batch> _out = [];

    /// <summary>The last entry that was handed out and not truncated since.</summary>
    public LogIndex HandedOut { get; private set; } = last;

    /// <summary>The log up to here is surely durable.</summary>
    public LogIndex Stable { get; private set; } = last;

    public void OnHandedOut(LogIndex lastIndex, Term lastTerm)
    {
        Invariant.Assert(lastIndex > HandedOut);
        HandedOut = lastIndex;
        _out.Add(new Batch(lastIndex, lastTerm, lastIndex));
    }

    /// <summary>Returns whether the acknowledgement named a batch that is out; an unknown one is void.</summary>
    public bool OnPersisted(LogIndex lastIndex, Term lastTerm)
    {
        for (int i = 0; i < _out.Count; i++)
        {
            if (_out[i].LastIndex == lastIndex && _out[i].LastTerm == lastTerm)
            {
                Stable = LogIndex.Max(Stable, _out[i].StillInLog);
                Invariant.Assert(Stable <= HandedOut);
                _out.RemoveRange(0, i + 1);
                return true;
            }
        }

        return false;
    }

    /// <summary>The entry at <paramref name="from"/> and all above are no longer what was handed out.</summary>
    public void OnTruncated(LogIndex from)
    {
        LogIndex kept = from.Previous;
        HandedOut = LogIndex.Min(HandedOut, kept);
        Stable = LogIndex.Min(Stable, kept);
        for (int i = 0; i < _out.Count; i++)
        {
            Batch batch = _out[i];
            _out[i] = batch with { StillInLog = LogIndex.Min(batch.StillInLog, kept) };
        }
    }

    /// <summary>A snapshot replaced the log and is durable. Batches that are out stay known, so that their late acknowledgements aren't taken for those of newer ones.</summary>
    public void OnReset(LogIndex index)
    {
        HandedOut = index;
        Stable = index;
        for (int i = 0; i < _out.Count; i++)
        {
            _out[i] = _out[i] with { StillInLog = LogIndex.Zero };
        }
    }

    private readonly record struct Batch(LogIndex LastIndex, Term LastTerm, LogIndex StillInLog);
}

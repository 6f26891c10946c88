using HdrHistogram;

namespace KvStore.Cli.Bench.Load;

/// <summary>
/// Where some of the loops count. Loops that share a stripe take turns on its lock for the few tens of nanoseconds of a count; there are more stripes than
/// processors, so they rarely meet.
/// </summary>
internal sealed class LoadStripe
{
    private readonly Lock _lock = new();
    private readonly LongHistogram _interval = LoadReport.NewHistogram();
    private readonly Dictionary<string, long> _failed = [];
    private readonly Dictionary<string, long> _unknown = [];
    private long _failedCount;
    private long _unknownCount;
    private long _inWindow;

    public void Count(LoadOutcome outcome, long microseconds, bool inWindow)
    {
        lock (_lock)
        {
            if (outcome.Kind == LoadOutcomeKind.Done)
            {
                _interval.RecordValue(Math.Clamp(microseconds, 1, LoadReport.HighestMicroseconds));
                _inWindow += inWindow ? 1 : 0;
            }
            else if (outcome.Kind == LoadOutcomeKind.Failed)
            {
                _failedCount++;
                Add(_failed, outcome.Code ?? "failed", 1);
            }
            else
            {
                _unknownCount++;
                Add(_unknown, outcome.Code ?? "unknown", 1);
            }
        }
    }

    /// <summary>Moves what was counted since the last call into the report and the interval; returns failures and unknowns so far.</summary>
    public (long Failed, long Unknown) DrainInto(HistogramBase total, HistogramBase interval)
    {
        lock (_lock)
        {
            total.Add(_interval);
            interval.Add(_interval);
            _interval.Reset();
            return (_failedCount, _unknownCount);
        }
    }

    public long AddCodesTo(Dictionary<string, long> failed, Dictionary<string, long> unknown)
    {
        lock (_lock)
        {
            foreach (var (code, count) in _failed)
            {
                Add(failed, code, count);
            }

            foreach (var (code, count) in _unknown)
            {
                Add(unknown, code, count);
            }

            return _inWindow;
        }
    }

    private static void Add(Dictionary<string, long> counts, string code, long count) =>
        counts[code] = counts.GetValueOrDefault(code) + count;
}

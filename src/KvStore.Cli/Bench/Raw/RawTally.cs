using HdrHistogram;
using KvStore.Cli.Bench.Load;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Raw;

/// <summary>How puts ended: done, refused by code, unknown by code, and after how long.</summary>
internal sealed class RawTally
{
    public LongHistogram Done { get; } = LoadReport.NewHistogram();

    public LongHistogram Refused { get; } = LoadReport.NewHistogram();

    public Dictionary<Code, long> RefusedBy { get; } = [];

    public Dictionary<Code, long> UnknownBy { get; } = [];

    public void Count(in WireResult result, long microseconds)
    {
        microseconds = Math.Clamp(microseconds, 1, LoadReport.HighestMicroseconds);
        switch (result.Outcome)
        {
            case Outcome.Done:
                Done.RecordValue(microseconds);
                break;
            case Outcome.NotDone:
                Refused.RecordValue(microseconds);
                RefusedBy[result.Code] = RefusedBy.GetValueOrDefault(result.Code) + 1;
                break;
            default:
                UnknownBy[result.Code] = UnknownBy.GetValueOrDefault(result.Code) + 1;
                break;
        }
    }

    /// <summary>Takes over what another one has counted; that one begins anew.</summary>
    public void Take(RawTally other)
    {
        Done.Add(other.Done);
        Refused.Add(other.Refused);
        Add(RefusedBy, other.RefusedBy);
        Add(UnknownBy, other.UnknownBy);
        other.Done.Reset();
        other.Refused.Reset();
        other.RefusedBy.Clear();
        other.UnknownBy.Clear();
    }

    private static void Add(Dictionary<Code, long> sum, Dictionary<Code, long> more)
    {
        foreach (var (code, count) in more)
        {
            sum[code] = sum.GetValueOrDefault(code) + count;
        }
    }
}

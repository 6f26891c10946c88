namespace KvStore.Client.Operations;

/// <summary>
/// When a read that any replica may answer is worth asking a second one, and how often: after what nineteen of twenty such reads take, and for at most a tenth of them. So a node that stalls costs its readers
/// little, and a cluster that is slow everywhere is not asked twice as much.
/// </summary>
internal sealed class HedgePolicy(bool isEnabled)
{
    /// <summary>Hundredths of a hedge that each read earns: a tenth of extra load at most.</summary>
    private const int EarnedPerRead = 10;

    private const int CostOfHedge = 100;

    /// <summary>What may be saved up: a burst of ten.</summary>
    private const int MostSaved = 10 * CostOfHedge;

    private const double Quantile = 0.95;

    /// <summary>Below this the sweeper's own period decides.</summary>
    private const double LeastMs = 5;

    /// <summary>Before anything was measured.</summary>
    private const double FirstMs = 50;

    private int _saved;
    private double _estimateMs = FirstMs;
    private long _sent;

    /// <summary>Second requests sent so far.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    /// <summary>How long a read has to be under way.</summary>
    public double DelayMs => Math.Max(LeastMs, Volatile.Read(ref _estimateMs));

    public bool IsEnabled => isEnabled;

    /// <summary>
    /// One read is over. The estimate goes up by a share of itself when a read took longer, and down by a nineteenth of that when it did not, so that it comes to rest where one in twenty takes longer. Racing updates cost
    /// a little precision.
    /// </summary>
    public void Observe(double elapsedMs)
    {
        const double Step = 0.1;
        double estimate = Volatile.Read(ref _estimateMs);
        estimate *= elapsedMs > estimate ? 1 + (Step * Quantile) : 1 - (Step * (1 - Quantile));
        Volatile.Write(ref _estimateMs, Math.Clamp(estimate, 0.05, 10_000));
        if (Volatile.Read(ref _saved) < MostSaved)
        {
            Interlocked.Add(ref _saved, EarnedPerRead);
        }
    }

    /// <summary>Whether there is budget for one more.</summary>
    public bool TrySpend()
    {
        if (Interlocked.Add(ref _saved, -CostOfHedge) < 0)
        {
            Interlocked.Add(ref _saved, CostOfHedge);
            return false;
        }

        Interlocked.Increment(ref _sent);
        return true;
    }
}

namespace KvStore.Simulator.Engine;

/// <summary>Which rare branches this run forces, how often, and which of them it has met.</summary>
internal sealed class RareBranches
{
    private static readonly int Points = Enum.GetValues<RareBranch>().Length;

    private readonly Random _random;
    private readonly double[] _rates = new double[Points];
    private readonly long[] _fired = new long[Points];

    /// <summary>Draws which points are on: half of them, in half of the runs.</summary>
    public RareBranches(Random random, bool areOn, IReadOnlyDictionary<RareBranch, double>? forced = null)
    {
        _random = random;
        bool any = random.Next(2) == 0;
        for (int point = 0; point < Points; point++)
        {
            double rate = random.Next(2) * (0.0002 + (0.02 * Math.Pow(random.NextDouble(), 3)));
            _rates[point] = forced?.GetValueOrDefault((RareBranch)point) ?? (any && areOn ? rate : 0);
        }
    }

    /// <summary>How often each point has fired, in their order.</summary>
    public IReadOnlyList<long> Fired => _fired;

    /// <summary>Whether this time is one of the rare ones.</summary>
    public bool Hits(RareBranch point)
    {
        double rate = _rates[(int)point];
        if (rate == 0 || _random.NextDouble() >= rate)
        {
            return false;
        }

        Meet(point);
        return true;
    }

    /// <summary>From now on none strikes at random.</summary>
    public void End() => Array.Clear(_rates);

    /// <summary>The run has come by here.</summary>
    public void Meet(RareBranch point) => _fired[(int)point]++;

    /// <summary>How long something takes that takes long for once.</summary>
    public long DelayUs(int atMostUs) => _random.Next(1, atMostUs);
}

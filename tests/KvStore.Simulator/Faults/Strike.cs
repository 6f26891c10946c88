namespace KvStore.Simulator.Faults;

/// <summary>One fault of a plan. What it does in detail follows from its own seed, so that a plan with some strikes left out leaves the others as they were.</summary>
/// <param name="Number">Its place in the whole plan of the seed, from 0.</param>
/// <param name="AtUs">When, in virtual time.</param>
internal readonly record struct Strike(int Number, long AtUs, FaultKind Kind, int Seed)
{
    public override string ToString() => $"{Number}: {Kind} at {AtUs / 1_000} ms";
}

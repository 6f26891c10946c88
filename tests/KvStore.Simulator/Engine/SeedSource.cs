namespace KvStore.Simulator.Engine;

/// <summary>Draws one independent random source for each purpose from a seed, so that a change in one part of a run leaves the others as they were.</summary>
internal sealed class SeedSource(ulong seed)
{
    private ulong _state = seed;

    public ulong Seed { get; } = seed;

    public Random Next()
    {
        // SplitMix64 (Steele, Lea, Flood 2014).
        _state += 0x9E37_79B9_7F4A_7C15;
        ulong z = _state;
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return new Random((int)((z ^ (z >> 31)) & 0x7FFF_FFFF));
    }
}

namespace KvStore.TestKit.Histories;

/// <summary>How much a linearizability check may cost. The problem is NP-complete: some histories would take for ever.</summary>
public sealed record LinearizabilityOptions
{
    /// <summary>How long the check of a whole history may take. Default: 30 seconds. Zero gives up at once.</summary>
    public TimeSpan TimeLimit { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many configurations the search of one key may remember, each some 30 bytes and a bit per operation. Default: five million.</summary>
    public int MaxConfigurations { get; init; } = 5_000_000;

    /// <summary>The clock of <see cref="TimeLimit"/>. Default: the system's.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}

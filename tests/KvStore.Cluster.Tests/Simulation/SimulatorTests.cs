using FluentAssertions;
using KvStore.Simulator.Scenarios;
using Xunit;

namespace KvStore.Cluster.Tests.Simulation;

/// <summary>A few seconds of the simulator in every run of the tests; long soaks are its own command (see tests/KvStore.Simulator/README.md).</summary>
public class SimulatorTests(ITestOutputHelper output)
{
    /// <summary>Every seed that ever failed, and stayed what it was.</summary>
    [Theory]
    [InlineData("consensus", 20)]
    [InlineData("consensus", 24)]
    [InlineData("consensus", 44)]
    [InlineData("ap", 1)]
    [InlineData("ap", 4)]
    [InlineData("ap", 5)]
    [InlineData("ap", 10)]
    [InlineData("ap", 14)]
    [InlineData("ap", 15)]
    [InlineData("wipe", 29)]
    [InlineData("ap", 32)]
    [InlineData("ap", 37)]
    [InlineData("wipe", 39)]
    [InlineData("ap", 74)]
    [InlineData("ap", 78)]
    [InlineData("ap", 91)]
    [InlineData("wipe", 101)]
    public void A_seed_that_failed_once_holds(string scenario, ulong seed)
    {
        var run = new SimulationRun();

        run.Play(scenario, seed);

        run.Failures.Should().BeEmpty();
    }

    [Theory]
    [InlineData("consensus")]
    [InlineData("ap")]
    public void Fresh_seeds_hold(string scenario)
    {
        const int AtLeast = 5;
        var run = new SimulationRun();
        ulong first = (ulong)Random.Shared.NextInt64(1_000_000, 1_000_000_000);
        output.WriteLine($"Scenario {scenario}, seeds from {first} on.");

        for (ulong seed = first; run.Elapsed < TimeSpan.FromSeconds(6) && run.Failures.Count == 0; seed++)
        {
            run.Play(scenario, seed);
        }

        output.WriteLine(run.ToString());
        run.Failures.Should().BeEmpty();
        run.Seeds.Should().BeGreaterThan(AtLeast, "fewer prove nothing");
    }
}

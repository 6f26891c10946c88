using FluentAssertions;
using KvStore.Simulator.Scenarios;
using Xunit;

namespace KvStore.Cluster.Tests.Simulation;

/// <summary>A slice of the simulator in every run of the tests; long soaks are its own command (see tests/KvStore.Simulator/README.md).</summary>
public class SimulatorTests(ITestOutputHelper output)
{
    /// <summary>Seeds that failed when they were found. A change of the simulator changes what they play; they stay as a fixed part of every run.</summary>
    [Theory]
    [InlineData("consensus", 1, 12)]
    [InlineData("members", 1, 60)]
    [InlineData("members", 640, 640)]
    [InlineData("members", 30729689, 30729689)]
    [InlineData("members", 136374963, 136374963)]
    [InlineData("memory", 1, 30)]
    [InlineData("memory", 164, 164)]
    [InlineData("open", 1, 20)]
    [InlineData("open", 309, 309)]
    [InlineData("open", 329, 329)]
    [InlineData("open", 444, 444)]
    [InlineData("open", 494, 494)]
    [InlineData("open", 541, 541)]
    [InlineData("open", 752, 752)]
    [InlineData("open", 1662, 1662)]
    [InlineData("open", 1748, 1748)]
    [InlineData("open", 5112, 5112)]
    [InlineData("open", 177449589, 177449589)]
    [InlineData("ap", 1, 1)]
    [InlineData("ap", 4, 5)]
    [InlineData("ap", 10, 10)]
    [InlineData("ap", 14, 15)]
    [InlineData("ap", 32, 32)]
    [InlineData("ap", 37, 37)]
    [InlineData("ap", 74, 74)]
    [InlineData("ap", 78, 78)]
    [InlineData("ap", 91, 91)]
    [InlineData("ap", 320884946, 320884946)]
    [InlineData("ap", 777788535, 777788535)]
    [InlineData("wipe", 29, 29)]
    [InlineData("wipe", 39, 39)]
    [InlineData("wipe", 101, 101)]
    [InlineData("dial", 1, 24)]
    [InlineData("dial", 66, 66)]
    [InlineData("dial", 338, 338)]
    [InlineData("dial", 384, 384)]
    [InlineData("dial", 553, 553)]
    [InlineData("dial", 659, 659)]
    [InlineData("dial", 1739, 1739)]
    [InlineData("dial", 1881, 1881)]
    [InlineData("dial", 3277, 3277)]
    [InlineData("dial", 3806, 3806)]
    [InlineData("dial", 5365, 5365)]
    [InlineData("dial-adaptive", 1, 6)]
    [InlineData("dial-adaptive", 46, 46)]
    [InlineData("dial-adaptive", 75, 75)]
    [InlineData("dial-adaptive", 102, 102)]
    [InlineData("dial-adaptive", 492, 492)]
    [InlineData("dial-adaptive", 562, 562)]
    [InlineData("dial-adaptive", 1671, 1671)]
    [InlineData("adaptive", 1, 12)]
    [InlineData("adaptive", 16, 16)]
    [InlineData("adaptive", 153, 153)]
    [InlineData("adaptive", 584, 584)]
    [InlineData("cluster", 5, 12)]
    [InlineData("cluster", 818319037, 818319037)]
    [InlineData("cluster", 818319342, 818319342)]
    public void Fixed_seeds_hold(string scenario, ulong first, ulong last)
    {
        var run = new SimulationRun();

        for (ulong seed = first; seed <= last; seed++)
        {
            run.Play(scenario, seed);
        }

        run.Failures.Should().BeEmpty();
    }

    /// <summary>New seeds each time, for so many seconds. The floor is far below what a slow machine plays: it only notices a slice that has become empty.</summary>
    [Theory]
    [InlineData("consensus", 35, 10)]
    [InlineData("members", 12, 4)]
    [InlineData("memory", 3, 2)]
    [InlineData("lww", 3, 2)]
    [InlineData("open", 6, 3)]
    [InlineData("dial", 10, 4)]
    [InlineData("dial-adaptive", 6, 2)]
    [InlineData("adaptive", 8, 3)]
    [InlineData("cluster", 8, 4)]
    public void Fresh_seeds_hold(string scenario, int seconds, int atLeast)
    {
        var run = new SimulationRun();
        ulong first = (ulong)Random.Shared.NextInt64(1_000_000, 1_000_000_000);

        for (ulong seed = first; run.Elapsed < TimeSpan.FromSeconds(seconds) && run.Failures.Count == 0; seed++)
        {
            run.Play(scenario, seed);
        }

        output.WriteLine($"Scenario {scenario}, seeds {first}..{first + (ulong)run.Seeds - 1}: {run.Seeds} seeds.");
        output.WriteLine(run.ToString());
        run.Failures.Should().BeEmpty();
        run.Seeds.Should().BeGreaterThanOrEqualTo(atLeast, "fewer prove nothing");
    }
}

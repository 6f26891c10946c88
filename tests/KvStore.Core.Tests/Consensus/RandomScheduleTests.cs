using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>Whole groups under random schedules: everything that a network, a disk and a process may do, in any order. A failing seed is named and replays exactly.</summary>
public sealed class RandomScheduleTests(ITestOutputHelper output)
{
    private const int StepsPerSeed = 1_500;

    [Theory]
    [InlineData(1, 20)]
    [InlineData(2, 40)]
    [InlineData(3, 150)]
    [InlineData(5, 60)]
    public void Safety_holds_under_any_schedule_and_progress_returns_after_it(int voters, int seeds)
    {
        int first = int.TryParse(Environment.GetEnvironmentVariable("KV_SEED"), out int given) ? given : 1;
        int factor = int.TryParse(Environment.GetEnvironmentVariable("KV_SEED_FACTOR"), out int more) ? more : 1;
        seeds = int.TryParse(Environment.GetEnvironmentVariable("KV_SEEDS"), out int fewer) ? fewer : seeds;
        output.WriteLine($"{voters} voters, seeds {first} to {first + (seeds * factor) - 1}");
        long commits = 0;
        long configurations = 0;
        long forwarded = 0;
        long repairs = 0;
        for (int seed = first; seed < first + (seeds * factor); seed++)
        {
            var schedule = new RandomSchedule(voters, seed);
            try
            {
                schedule.Run(StepsPerSeed);
                schedule.HealAndCheckProgress();
                commits += (long)schedule.Commits.Value;
                configurations += schedule.Configurations;
                forwarded += schedule.ForwardedReadsAnswered;
                repairs += schedule.Damages;
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"{voters} voters, seed {seed}, step {schedule.StepNumber}: {failure.Message}\n{schedule}", failure);
            }
        }

        output.WriteLine($"{commits} commits, {configurations} configurations, {forwarded} reads answered through another replica, {repairs} damaged disks");
        Assert.True(commits > seeds, "the schedules committed next to nothing: they test nothing");
        Assert.True(configurations > seeds / 2 && forwarded > 0 && (voters < 3 || repairs > 0), "the schedules left something out");
    }
}

using CsCheck;
using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Eventual;

/// <summary>Random histories; the seed is printed with a failure and makes the same history again.</summary>
public sealed class RandomHistories
{
    private static readonly DottedOptions SmallPages = new() { MaxPageDots = 2, MaxPageBytes = 200 };

    [Fact]
    public void Without_crashes_everything_converges_and_deletes_leave_no_trace()
        => Gen.Int[0, int.MaxValue].Sample(
            seed =>
            {
                DottedEnvironment environment = Run(seed, SmallPages, crashes: false, wipes: false);
                environment.CheckConverged();
                foreach (DottedNode node in environment.Nodes)
                {
                    node.View.Values.Should().OnlyContain(record => !DottedObject.Decode(record).IsEmpty);
                    node.Replica.UncoveredContexts.Should().Be(0);
                    node.View.Values.Should().OnlyContain(record => DottedObject.Decode(record).Context.IsEmpty, "one dot a value is left");
                }
            },
            iter: 200);

    [Fact]
    public void With_power_losses_that_forget_the_tail_no_durable_write_is_lost_and_all_converge()
        => Gen.Int[0, int.MaxValue].Sample(seed => Run(seed, SmallPages, crashes: true, wipes: false).CheckConverged(), iter: 200);

    [Fact]
    public void With_disks_lost_and_copied_anew_all_converge()
        => Gen.Int[0, int.MaxValue].Sample(seed => Run(seed, SmallPages, crashes: true, wipes: true).CheckConverged(), iter: 200);

    [Fact]
    public void With_an_index_too_small_for_the_lag_full_copies_heal()
        => Gen.Int[0, int.MaxValue].Sample(
            seed => Run(seed, new DottedOptions { MaxIndexedDots = 5, MaxPageDots = 2 }, crashes: true, wipes: false).CheckConverged(),
            iter: 200);

    [Theory]
    [InlineData(1109635436)]
    [InlineData(1083896016)]
    public void Histories_that_failed_once_pass(int seed) => Run(seed, SmallPages, crashes: true, wipes: false).CheckConverged();

    [Theory]
    [InlineData(336473488)]
    [InlineData(58328243)]
    public void Histories_with_a_small_index_that_failed_once_pass(int seed)
        => Run(seed, new DottedOptions { MaxIndexedDots = 5, MaxPageDots = 2 }, crashes: true, wipes: false).CheckConverged();

    private static DottedEnvironment Run(int seed, DottedOptions options, bool crashes, bool wipes)
    {
        Random random = new(seed);
        DottedEnvironment environment = new(3, seed, options) { HoldsPages = true };
        SortedSet<Dot> durable = [];
        List<VersionVector> contexts = [VersionVector.Empty];
        for (int step = 0; step < 150; step++)
        {
            DottedNode node = environment.Nodes[random.Next(3)];
            Step(random, environment, node, contexts, crashes);
            RecordDurable(environment, node, durable);
            if (step % 2 == 0)
            {
                node.ScanForDigests(pageKeys: 1 + (step % 3));
                CheckDigests(node);
            }

            if (wipes && random.Next(60) == 0 && environment.Nodes.All(other => !other.Replica.IsRecovering))
            {
                WipeWhatOthersHave(environment, node);
            }

            if (!node.Replica.IsRecovering)
            {
                environment.CheckDataMatchesClock(node);
            }
        }

        environment.Heal();
        durable.Should().OnlyContain(dot => environment[1].Replica.Clock.Covers(dot), "a durable write is not lost");
        foreach (DottedNode node in environment.Nodes)
        {
            for (int page = 0; page < 20 && !node.Replica.Digests.AreComplete; page++)
            {
                node.ScanForDigests(pageKeys: 2);
            }

            node.Replica.Digests.Capture().Should().Be(environment[1].Replica.Digests.Capture(), "equal clocks, equal data");
        }

        return environment;
    }

    private static void Step(Random random, DottedEnvironment environment, DottedNode node, List<VersionVector> contexts, bool crashes)
    {
        string key = $"k{random.Next(4)}";
        switch (random.Next(crashes ? 15 : 14))
        {
            case 0 or 1:
                node.Put(key, $"{random.Next(1000)}", atMs: random.Next(100), operation: (ulong)random.Next(3));
                break;
            case 2:
                node.Put(key, $"{random.Next(1000)}", contexts[random.Next(contexts.Count)]);
                break;
            case 3:
                node.Delete(key);
                break;
            case 4:
                contexts.Add(node.Read(key).Context);
                break;
            case 5:
                node.MakeDurable();
                break;
            case 6 when random.Next(3) == 0:
                node.Seal();
                break;
            case 7:
                node.Advertise();
                node.Fade();
                break;
            case 8 when environment.InFlight > 0:
                environment.DropOne();
                break;
            case 13:
                node.DropLosers(key);
                break;
            case 14 when random.Next(3) == 0:
                node.Restart();
                break;
            default:
                if (environment.InFlight > 0)
                {
                    environment.DeliverOne(duplicate: 0.2);
                }

                break;
        }
    }

    /// <summary>A disk takes with it what only it had: first the others get it.</summary>
    private static void WipeWhatOthersHave(DottedEnvironment environment, DottedNode node)
    {
        environment.Heal();
        node.Wipe();
    }

    private static void CheckDigests(DottedNode node)
    {
        if (node.Replica.Digests.AreComplete)
        {
            node.Replica.Digests.Capture().Should().Be(node.CountDigests());
        }
    }

    private static void RecordDurable(DottedEnvironment environment, DottedNode node, SortedSet<Dot> durable)
    {
        foreach (Dot dot in environment.Events.Keys.Where(node.Replica.DurableClock.Covers))
        {
            durable.Add(dot);
        }
    }
}

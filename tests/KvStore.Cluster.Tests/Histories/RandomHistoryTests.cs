using System.Diagnostics;
using FluentAssertions;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Histories;

public sealed class RandomHistoryTests(ITestOutputHelper output)
{
    private const int Histories = 400;
    private readonly int _seed = Random.Shared.Next();

    [Fact]
    public void What_clients_of_a_real_key_see_is_always_linearizable() => ForEachSeed(Histories, random =>
    {
        var operations = RandomHistories.OfARealKey(random, clients: random.Next(1, 6), perClient: random.Next(1, 40));

        return Verdict(operations) == LinearizabilityVerdict.Linearizable;
    });

    [Fact]
    public void Two_hundred_operations_of_ten_clients_on_one_key_are_decided_within_the_default_limits() => ForEachSeed(20, random =>
    {
        var operations = RandomHistories.OfARealKey(random, clients: 10, perClient: 20);
        var started = Stopwatch.GetTimestamp();
        var verdict = Verdict(operations);
        var stale = RandomHistories.WithAStaleRead(random, operations);
        var staleVerdict = stale is null ? LinearizabilityVerdict.NotLinearizable : Verdict(stale);
        output.WriteLine($"{Stopwatch.GetElapsedTime(started).TotalMilliseconds:0.0} ms");

        return verdict == LinearizabilityVerdict.Linearizable && staleVerdict == LinearizabilityVerdict.NotLinearizable;
    });

    [Fact]
    public void A_stale_read_is_always_found()
    {
        var mutated = 0;
        ForEachSeed(Histories, random =>
        {
            var operations = RandomHistories.OfARealKey(random, clients: random.Next(1, 5), perClient: random.Next(3, 20));
            if (RandomHistories.WithAStaleRead(random, operations) is not { } stale)
            {
                return true;
            }

            mutated++;
            return Verdict(stale) == LinearizabilityVerdict.NotLinearizable;
        });
        mutated.Should().BeGreaterThan(Histories / 2);
    }

    [Fact]
    public void The_search_agrees_with_trying_every_order()
    {
        var linearizable = 0;
        ForEachSeed(20_000, random =>
        {
            var operations = RandomHistories.OfAnything(random);
            var expected = FitsSomeOrder(operations);
            linearizable += expected ? 1 : 0;
            return Verdict(operations) == (expected ? LinearizabilityVerdict.Linearizable : LinearizabilityVerdict.NotLinearizable);
        });
        linearizable.Should().BeInRange(2_000, 18_000, "both verdicts have to be tried");
    }

    [Fact]
    public void An_open_keyspace_that_behaves_like_one_copy_gets_no_alarm() => ForEachSeed(Histories / 4, random =>
    {
        var operations = RandomHistories.OfARealKey(random, clients: random.Next(1, 6), perClient: random.Next(1, 20));
        var last = operations.Max(operation => operation.ReturnOrder) + 1_000;
        var written = operations.Where(operation => operation is { MayHaveWritten: true, Input: not null });
        string[][] ends = [[], .. written.Select(operation => (string[])[operation.Input!])];
        var possible = ends.Where(end => Verdict([.. operations, Recorded.Get(last, last + 1, end)]) == LinearizabilityVerdict.Linearizable);

        return possible.All(end =>
        {
            var dump = new ReplicaDump("all");
            Array.ForEach(end, value => dump.Add("k", value));
            return AcknowledgedWriteChecker.Check(new History(operations), dump).Count == 0;
        });
    });

    private static LinearizabilityVerdict Verdict(List<RecordedOperation> operations) => LinearizabilityChecker.Check(new History(operations)).Verdict;

    private void ForEachSeed(int count, Func<Random, bool> holds)
    {
        output.WriteLine($"Seeds {_seed} to {(long)_seed + count - 1}.");
        for (var i = 0; i < count; i++)
        {
            holds(new Random(unchecked(_seed + i))).Should().BeTrue($"seed {unchecked(_seed + i)} should hold");
        }
    }

    /// <summary>The definition of linearizability, taken literally.</summary>
    private static bool FitsSomeOrder(List<RecordedOperation> operations) => FitsSomeOrder(
        [.. operations.Where(operation => operation.MayHaveWritten || operation.Outcome is RecordedOutcome.Done or RecordedOutcome.Mismatched)],
        state: null);

    private static bool FitsSomeOrder(RecordedOperation[] left, string? state)
    {
        if (left.All(operation => operation.Outcome == RecordedOutcome.Unknown))
        {
            return true;
        }

        return left.Any(first => left.All(other => other.LatestEffect >= first.InvokeOrder)
            && SequentialModel.KeyValue.TryStep(state, first, out var next)
            && FitsSomeOrder([.. left.Where(other => !ReferenceEquals(other, first))], next));
    }
}

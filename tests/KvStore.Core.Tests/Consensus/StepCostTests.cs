using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>The hot path allocates nothing, once its buffers have grown.</summary>
public sealed class StepCostTests(ITestOutputHelper output)
{
    private static readonly byte[] Payload = new byte[100];

    [Fact]
    public void A_leader_in_steady_state_allocates_nothing_per_proposal()
    {
        RaftNode leader = ElectedLeader();
        RunRounds(leader, 20_000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        var watch = System.Diagnostics.Stopwatch.StartNew();
        RunRounds(leader, 100_000);
        TimeSpan taken = watch.Elapsed;
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        output.WriteLine($"{taken.TotalNanoseconds / 100_000:F0} ns and {allocated / 100_000.0:F2} bytes per round of propose, ready, persist, two answers, apply");
        allocated.Should().BeLessThan(100_000);
    }

    private static RaftNode ElectedLeader()
    {
        ReplicaId self = new(1);
        var node = new RaftNode(RaftOptions.Default, self, new MembershipConfig([self, new(2), new(3)]), RaftRecoveredState.Empty, new Random(1));
        node.Campaign();
        node.TakeReady();
        Answer(node, RaftMessageKind.PreVoteResponse, 2, default);
        node.TakeReady();
        node.Step(new RaftMessage { Kind = RaftMessageKind.VoteResponse, From = self, To = self, Term = node.Term });
        Answer(node, RaftMessageKind.VoteResponse, 2, default);
        node.State.Should().Be(RaftRole.Leader);
        return node;
    }

    private static void RunRounds(RaftNode node, int rounds)
    {
        for (int i = 0; i < rounds; i++)
        {
            node.Propose(Payload, out _, out LogIndex index);
            node.TakeReady();
            node.OnPersisted(index, node.Term);
            Answer(node, RaftMessageKind.AppendResponse, 2, index);
            Answer(node, RaftMessageKind.AppendResponse, 3, index);
            node.TakeReady();
            node.OnApplied(node.CommitIndex);
            if (i % 100 == 0)
            {
                node.Compact(node.AppliedIndex);
            }
        }
    }

    private static void Answer(RaftNode node, RaftMessageKind kind, ulong from, LogIndex index)
    {
        Term term = kind == RaftMessageKind.PreVoteResponse ? node.Term.Next : node.Term;
        node.Step(new RaftMessage { Kind = kind, From = new ReplicaId(from), To = node.Self, Term = term, Index = index });
    }
}

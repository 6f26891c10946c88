using FluentAssertions;
using KvStore.TestKit.Histories;

namespace KvStore.Cluster.Tests.Load;

/// <summary>What must hold of a history when all is healed and everything has come to rest.</summary>
internal static class Verdicts
{
    /// <summary>Linearizable, nothing invented, and every acknowledged write there or rightly superseded.</summary>
    public static void MustBeLinearizable(History history, IReadOnlyList<ReplicaDump> end, string about)
    {
        LinearizabilityResult result = LinearizabilityChecker.Check(history);
        result.Verdict.Should().Be(LinearizabilityVerdict.Linearizable, $"{result.Explanation} ({about})");
        MustKeepWhatWasAcknowledged(history, end, about);
    }

    /// <summary>All replicas hold the same, nothing is invented, nothing resurrected, and every acknowledged write is there or rightly superseded.</summary>
    public static void MustKeepWhatWasAcknowledged(History history, IReadOnlyList<ReplicaDump> end, string about)
    {
        ProvenanceChecker.Check(history).Should().BeEmpty($"no value comes from nowhere, and no definite failure is ever seen ({about})");
        ConvergenceResult converged = ConvergenceChecker.Check(end);
        converged.Converged.Should().BeTrue($"{converged} ({about})");
        AcknowledgedWriteChecker.Check(history, end[0]).Should().BeEmpty($"every acknowledged write is there or was superseded ({about})");
    }
}

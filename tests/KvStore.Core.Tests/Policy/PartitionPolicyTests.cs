using System.Runtime.CompilerServices;
using FluentAssertions;
using KvStore.Core.Policy;
using Xunit;

namespace KvStore.Core.Tests.Policy;

public sealed class PartitionPolicyTests
{
    private const string Begin = "<!-- policy table: begin -->\n";
    private const string End = "<!-- policy table: end -->";

    private static readonly PartitionChoice[] Policies = [PartitionChoice.Cp, PartitionChoice.Ap, PartitionChoice.Adaptive];

    public static TheoryData<RequestClass> Requests => [.. Enum.GetValues<RequestClass>()];

    /// <summary>KV_REWRITE=1 writes the table of the code into the page.</summary>
    [Fact]
    public void The_page_about_consistency_shows_the_table_of_the_code()
    {
        string path = DocsPath("consistency.md");
        string page = File.ReadAllText(path);
        int begin = page.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        int end = page.IndexOf(End, StringComparison.Ordinal);
        end.Should().BeGreaterThanOrEqualTo(begin, "the page marks where the table is");
        if (Environment.GetEnvironmentVariable("KV_REWRITE") == "1")
        {
            File.WriteAllText(path, page[..begin] + PolicyTableText.Render() + page[end..]);
            return;
        }

        page[begin..end].Should().Be(PolicyTableText.Render());
    }

    [Theory]
    [MemberData(nameof(Requests))]
    public void An_ordered_shard_without_a_majority_serves_nothing_but_what_asks_for_stale(RequestClass request)
    {
        foreach (PartitionChoice policy in Policies)
        {
            Decide(policy, ServingRegime.Ordered, majority: false, request).Should().Match(decision =>
                decision == (request == RequestClass.StaleRead ? PolicyDecision.Serve : PolicyDecision.RefuseNoQuorum) || decision == PolicyDecision.RefuseNotOffered);
        }
    }

    [Theory]
    [MemberData(nameof(Requests))]
    public void Losing_the_majority_never_makes_more_possible_in_the_same_regime(RequestClass request)
    {
        foreach (ServingRegime regime in Enum.GetValues<ServingRegime>())
        {
            foreach (PartitionChoice policy in Policies)
            {
                bool with = Serves(Decide(policy, regime, majority: true, request));
                bool without = Serves(Decide(policy, regime, majority: false, request));
                (without && !with).Should().BeFalse($"{policy} {regime}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Requests))]
    public void Only_an_adaptive_keyspace_is_ever_served_provisionally_beyond_stale_reads(RequestClass request)
    {
        foreach (ServingRegime regime in Enum.GetValues<ServingRegime>())
        {
            foreach (bool majority in (bool[])[true, false])
            {
                bool provisional = request != RequestClass.StaleRead
                    && (Decide(PartitionChoice.Cp, regime, majority, request) == PolicyDecision.ServeProvisionally || Decide(PartitionChoice.Ap, regime, majority, request) == PolicyDecision.ServeProvisionally);
                provisional.Should().BeFalse();
            }
        }
    }

    [Theory]
    [InlineData(RequestClass.LinearizableRead)]
    [InlineData(RequestClass.StrongWrite)]
    [InlineData(RequestClass.ConditionalWrite)]
    [InlineData(RequestClass.Transaction)]
    public void What_demands_strong_is_refused_while_provisional(RequestClass request) =>
        Decide(PartitionChoice.Adaptive, ServingRegime.Provisional, majority: false, request).Should().Be(PolicyDecision.RefuseProvisional);

    [Theory]
    [MemberData(nameof(Requests))]
    public void Between_two_regimes_only_stale_reads_are_answered(RequestClass request) =>
        Decide(PartitionChoice.Ap, ServingRegime.Closing, majority: true, request).Should().Be(request == RequestClass.StaleRead ? PolicyDecision.Serve : PolicyDecision.RefuseSwitching);

    /// <summary>Levels that are named in an advice are asked of the table again: it must not refuse them for the same reason.</summary>
    [Theory]
    [MemberData(nameof(Requests))]
    public void Nobody_is_advised_to_do_what_would_be_refused_as_well(RequestClass request)
    {
        foreach (ServingRegime regime in Enum.GetValues<ServingRegime>())
        {
            foreach (PartitionChoice policy in Policies)
            {
                foreach (bool majority in (bool[])[true, false])
                {
                    PolicyDecision decision = Decide(policy, regime, majority, request);
                    string advice = RefusalAdvice.For(new KeyspaceMode(policy, Replication.Sync), regime, majority, request, decision);
                    if (Serves(decision))
                    {
                        advice.Should().BeEmpty();
                        continue;
                    }

                    advice.Should().NotBeEmpty($"{policy} {regime} {request}: whoever is refused is told what helps");
                    (advice.Contains("eventual", StringComparison.Ordinal) && !Serves(Decide(policy, regime, majority, RequestClass.StaleRead))).Should().BeFalse();
                    (advice.Contains("writes without a condition", StringComparison.Ordinal) && !Serves(Decide(policy, regime, majority, RequestClass.Write))).Should().BeFalse();
                    (advice.Contains("reads without a level", StringComparison.Ordinal) && !Serves(Decide(policy, regime, majority, RequestClass.DefaultRead))).Should().BeFalse();
                }
            }
        }
    }

    private static PolicyDecision Decide(PartitionChoice policy, ServingRegime regime, bool majority, RequestClass request) =>
        PartitionPolicy.Decide(new KeyspaceMode(policy, Replication.Sync), regime, majority, request);

    private static bool Serves(PolicyDecision decision) => decision is PolicyDecision.Serve or PolicyDecision.ServeDegraded or PolicyDecision.ServeProvisionally;

    private static string DocsPath(string page, [CallerFilePath] string source = "") =>
        Path.Combine(Path.GetDirectoryName(source)!, "..", "..", "..", "docs", page);
}

using System.Runtime.CompilerServices;
using FluentAssertions;
using KvStore.Core.Detection;
using Xunit;

namespace KvStore.Core.Tests.Detection;

/// <summary>Recorded and drawn heartbeats, and the page that tells what the detector makes of them.</summary>
public sealed class DetectorTableTests(ITestOutputHelper output)
{
    private const string Begin = "<!-- detector table: begin -->\n";
    private const string End = "<!-- detector table: end -->";

    public static TheoryData<int> Recordings => [.. Enumerable.Range(0, DetectorTable.Series.Length)];

    /// <summary>KV_REWRITE=1 writes the table into the page.</summary>
    [Fact]
    public void The_page_about_the_detector_shows_what_the_code_does()
    {
        string path = Path.Combine(Path.GetDirectoryName(ThisFile())!, "..", "..", "..", "docs", "failure-detection.md");
        string page = File.ReadAllText(path);
        int begin = page.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        int end = page.IndexOf(End, StringComparison.Ordinal);
        end.Should().BeGreaterThanOrEqualTo(begin, "the page marks where the table is");
        string table = DetectorTable.Render(PhiAccrualOptions.Default.AcceptablePauseMs);
        if (Environment.GetEnvironmentVariable("KV_REWRITE") == "1")
        {
            File.WriteAllText(path, page[..begin] + table + page[end..]);
            return;
        }

        page[begin..end].Should().Be(table);
    }

    [Theory]
    [MemberData(nameof(Recordings))]
    public void A_higher_threshold_is_later_and_less_often_wrong(int series)
    {
        IReadOnlyList<(double DetectMs, int FalseAlarms)> columns = DetectorTable.Play(DetectorTable.Series[series], PhiAccrualOptions.Default.AcceptablePauseMs);

        columns.Select(column => column.DetectMs).Should().BeInAscendingOrder();
        columns.Select(column => column.FalseAlarms).Should().BeInDescendingOrder();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    public void With_the_thresholds_of_a_node_a_regular_peer_is_never_given_up_and_a_dead_one_is_within_a_second(int series)
    {
        int down = Array.IndexOf(DetectorTable.Thresholds, PhiAccrualOptions.Default.DownPhi);
        (double detectMs, int falseAlarms) = DetectorTable.Play(DetectorTable.Series[series], PhiAccrualOptions.Default.AcceptablePauseMs)[down];

        falseAlarms.Should().Be(0);
        detectMs.Should().BeLessThan(1_000);
    }

    [Fact]
    public void A_hundred_peers_cost_next_to_nothing()
    {
        const int Peers = 100;
        const int Rounds = 2_000;
        long memory = GC.GetAllocatedBytesForCurrentThread();
        var reachability = new Reachability(new Identity.NodeId(1_000), new ReachabilityOptions { Phi = PhiAccrualOptions.For(50) });
        Identity.NodeId[] peers = [.. Enumerable.Range(1, Peers).Select(id => new Identity.NodeId((uint)id))];
        Round(reachability, peers, 0);
        memory = GC.GetAllocatedBytesForCurrentThread() - memory;
        long before = GC.GetAllocatedBytesForCurrentThread();
        var watch = System.Diagnostics.Stopwatch.StartNew();
        for (int round = 1; round <= Rounds; round++)
        {
            Round(reachability, peers, round * 50);
        }

        double nanoseconds = watch.Elapsed.TotalNanoseconds / (Peers * Rounds);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        output.WriteLine($"{nanoseconds:0} ns per heartbeat taken in, judged and answered; {memory / Peers} bytes per peer; {allocated} bytes allocated in {Rounds} rounds");
        allocated.Should().BeLessThan(10_000);
        (memory / Peers).Should().BeLessThan(4_096);
        nanoseconds.Should().BeLessThan(50_000, "a hundred times what it takes");
    }

    private static void Round(Reachability reachability, Identity.NodeId[] peers, long nowMs)
    {
        foreach (Identity.NodeId peer in peers)
        {
            reachability.OnHeartbeat(peer, boot: 1, senderHearsUs: reachability.Hears(peer, nowMs), nowMs);
            reachability.LinkTo(peer, nowMs);
        }
    }

    private static string ThisFile([CallerFilePath] string source = "") => source;
}

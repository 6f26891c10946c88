using System.Diagnostics;
using FluentAssertions;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Histories;

public sealed class VectorVerdictTests(ITestOutputHelper output)
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "vectors", "linearizability");

    public static TheoryData<string, string> Expected()
    {
        var expected = new TheoryData<string, string>();
        foreach (var line in File.ReadLines(Path.Combine(Folder, "expected.tsv")))
        {
            var fields = line.Split('\t');
            expected.Add(fields[0], fields[1]);
        }

        return expected;
    }

    [Theory]
    [MemberData(nameof(Expected))]
    public void A_recorded_history_gets_its_known_verdict(string file, string expected)
    {
        var started = Stopwatch.GetTimestamp();

        var result = Recorded.Check(HistoryFile.Read(Path.Combine(Folder, file)));

        output.WriteLine($"{Stopwatch.GetElapsedTime(started).TotalMilliseconds:0.0} ms, {result}");
        result.Verdict.Should().Be(expected == "linearizable" ? LinearizabilityVerdict.Linearizable : LinearizabilityVerdict.NotLinearizable);
    }

    [Fact]
    public void Every_recorded_history_has_a_known_verdict()
    {
        var files = Directory.EnumerateFiles(Folder, "*", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(Folder, file).Replace('\\', '/'))
            .Where(file => file.Contains('/'));

        Expected().Select(row => row.Data.Item1).Should().BeEquivalentTo(files).And.HaveCountGreaterThan(50);
    }

    [Theory]
    [MemberData(nameof(Expected))]
    public void A_recorded_history_keeps_its_verdict_in_our_own_format(string file, string expected)
    {
        using var stream = new MemoryStream();
        HistoryFile.Write(stream, HistoryFile.Read(Path.Combine(Folder, file)));
        stream.Position = 0;

        var result = Recorded.Check(HistoryFile.Read(new StreamReader(stream), file));

        result.Verdict.Should().Be(expected == "linearizable" ? LinearizabilityVerdict.Linearizable : LinearizabilityVerdict.NotLinearizable);
    }
}

using FluentAssertions;
using KvStore.Cli;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

public sealed class HistoryCheckTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("kv-history-").FullName;

    [Fact]
    public async Task A_linearizable_history_ends_with_0_and_its_verdict_behind_a_tab()
    {
        var file = Recorded(stale: false);
        var run = await KvRun.Of("history", "check", file);

        run.Should().BeEquivalentTo(new { Code = ExitCode.Ok, Out = $"{file}\tlinearizable\n", Error = "" });
    }

    [Fact]
    public async Task A_stale_read_ends_with_1_and_says_which_operation_fits_nowhere()
    {
        var good = Recorded(stale: false);
        var bad = Recorded(stale: true);
        var run = await KvRun.Of("history", "check", good, bad);

        run.Code.Should().Be(ExitCode.Failed);
        run.Out.Should().Be($"{good}\tlinearizable\n{bad}\tnot-linearizable\n");
        run.Error.Should().Contain(bad).And.Contain("fits nowhere");
    }

    [Fact]
    public async Task A_file_that_is_missing_ends_with_66_and_the_others_are_still_judged()
    {
        var good = Recorded(stale: false);
        var run = await KvRun.Of("history", "check", Path.Combine(_directory, "missing.jsonl"), good);

        run.Code.Should().Be(ExitCode.NoInput);
        run.Out.Should().Be($"{good}\tlinearizable\n");
        run.Error.Should().Contain("missing.jsonl does not exist");
    }

    [Fact]
    public async Task Both_recorded_formats_of_others_are_recognised()
    {
        var run = await KvRun.Of("history", "check", Vector("kv/c01-bad.txt"), Vector("register/etcd_000.log"));

        run.Out.Should().Contain("c01-bad.txt\tnot-linearizable").And.MatchRegex("etcd_000.log\t(not-)?linearizable");
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private static string Vector(string name) => Path.Combine(AppContext.BaseDirectory, "vectors", "linearizability", name);

    private string Recorded(bool stale)
    {
        var recorder = new HistoryRecorder();
        recorder.Begin("a", RecordedKind.Put, "k", "old").Done();
        recorder.Begin("a", RecordedKind.Put, "k", "new").Done();
        recorder.Begin("b", RecordedKind.Get, "k").Done(stale ? "old" : "new");
        var file = Path.Combine(_directory, stale ? "stale.jsonl" : "good.jsonl");
        HistoryFile.Write(file, recorder.ToHistory());
        return file;
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Xunit;

namespace KvStore.Cluster.Tests.Kill;

/// <summary>When a process synced its log, as strace saw it.</summary>
/// <param name="Began">Microseconds of the wall clock, rounded down.</param>
/// <param name="Ended">The same; the process learned of it no earlier.</param>
internal readonly record struct TracedSync(long Began, long Ended);

/// <summary>Watches the fdatasync calls of a process until it is stopped. strace is attached to the running process and takes every thread of it.</summary>
internal sealed partial class SyncTrace : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly string _file = Path.GetTempFileName();
    private readonly Process _strace;

    private SyncTrace(int processId)
    {
        string[] arguments = ["-f", "-ttt", "-T", "-e", "trace=fdatasync", "-o", _file, "-p", processId.ToString(CultureInfo.InvariantCulture)];
        _strace = Process.Start(new ProcessStartInfo("strace", arguments) { RedirectStandardError = true })!;
    }

    /// <summary>strace is here and may be used.</summary>
    public static bool IsPossible => OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess
        && (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "strace")));

    /// <summary>Returns when it watches.</summary>
    public static async Task<SyncTrace> StartAsync(int processId)
    {
        var trace = new SyncTrace(processId);
        using CancellationTokenSource deadline = new(Deadline);
        string said = "";
        while (!said.Contains(" attached", StringComparison.Ordinal))
        {
            string? line = await trace._strace.StandardError.ReadLineAsync(deadline.Token);
            Assert.True(line is not null, $"strace could not attach to {processId}: {said}");
            said += line;
        }

        _ = trace._strace.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        return trace;
    }

    /// <summary>Lets go of the process, which goes on, and returns what was seen.</summary>
    public async Task<IReadOnlyList<TracedSync>> StopAsync()
    {
        using CancellationTokenSource deadline = new(Deadline);
        using (Process interrupt = Process.Start("kill", ["-INT", _strace.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await interrupt.WaitForExitAsync(deadline.Token);
        }

        await _strace.WaitForExitAsync(deadline.Token);
        return Parse(await File.ReadAllLinesAsync(_file, deadline.Token));
    }

    /// <summary>Reads strace's lines: <c>thread time fdatasync(fd) = 0 &lt;duration&gt;</c>, or the same in two where another thread's call came between. Calls that failed or never ended are left out.</summary>
    public static IReadOnlyList<TracedSync> Parse(IEnumerable<string> lines)
    {
        List<TracedSync> syncs = [];
        Dictionary<string, long> open = [];
        foreach (Match match in lines.Select(line => Call().Match(line)).Where(match => match.Success))
        {
            string thread = match.Groups["thread"].Value;
            long at = Microseconds(match.Groups["time"].Value);
            if (match.Groups["open"].Success)
            {
                open[thread] = at;
            }
            else if (match.Groups["resumed"].Success && open.Remove(thread, out long began))
            {
                syncs.Add(new TracedSync(began, at));
            }
            else if (!match.Groups["resumed"].Success)
            {
                syncs.Add(new TracedSync(at, at + Microseconds(match.Groups["duration"].Value)));
            }
        }

        return syncs;
    }

    /// <summary>How many of these processes synced their log, from begin to end, between two moments.</summary>
    public static int SyncedWithin(IEnumerable<IReadOnlyList<TracedSync>> processes, long begin, long end) =>
        processes.Count(syncs => syncs.Any(sync => sync.Began >= begin && sync.Ended <= end));

    /// <summary>The wall clock in strace's unit.</summary>
    public static long Now() => (DateTime.UtcNow - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;

    public async ValueTask DisposeAsync()
    {
        if (!_strace.HasExited)
        {
            await StopAsync();
        }

        _strace.Dispose();
        File.Delete(_file);
    }

    private static long Microseconds(string seconds) => (long)(decimal.Parse(seconds, CultureInfo.InvariantCulture) * 1_000_000);

    [GeneratedRegex(@"^(?<thread>\d+)\s+(?<time>\d+\.\d+) (?:fdatasync\(\d+(?<open> <unfinished \.\.\.>)|(?:fdatasync\(\d+\)|(?<resumed><\.\.\. fdatasync resumed>\))) += 0 <(?<duration>\d+\.\d+)>)")]
    private static partial Regex Call();
}

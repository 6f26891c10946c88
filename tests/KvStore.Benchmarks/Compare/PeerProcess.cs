using System.ComponentModel;
using System.Diagnostics;
using KvStore.Cli.LocalCluster;

namespace KvStore.Benchmarks.Compare;

/// <summary>One server process of another store, with its output in a log file.</summary>
internal sealed class PeerProcess : IAsyncDisposable
{
    private static readonly TimeSpan StopDeadline = TimeSpan.FromSeconds(30);

    private readonly Process _process;

    private PeerProcess(Process process) => _process = process;

    /// <summary>Where a program of this name is to be found; null: nowhere. Debian puts servers where not every user's path leads, and tools of .NET lie in the user's own directory.</summary>
    public static string? PathOf(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Append("/usr/sbin")
            .Append(Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".dotnet", "tools"))
            .Where(directory => directory.Length > 0)
            .Select(directory => Path.Combine(directory, program))
            .FirstOrDefault(File.Exists);

    /// <summary>Starts a server in a directory of its own.</summary>
    /// <exception cref="Win32Exception">The program is not there.</exception>
    public static PeerProcess Start(string directory, string program, params IEnumerable<string> arguments) => Start(directory, [program, .. arguments], isAskedToEnd: false);

    /// <summary>The same, and says how it is ended.</summary>
    /// <exception cref="Win32Exception">The program is not there.</exception>
    public static PeerProcess Start(string directory, string[] command, bool isAskedToEnd)
    {
        Directory.CreateDirectory(directory);

        // The shell only connects the output to the file and becomes the server: the process stays the one that is ended afterwards.
        ProcessStartInfo start = new("/bin/sh") { WorkingDirectory = directory };
        foreach (string argument in (string[])["-c", "exec \"$@\" >\"$0\" 2>&1 </dev/null", Path.Combine(directory, "log"), .. command])
        {
            start.ArgumentList.Add(argument);
        }

        return new PeerProcess(Process.Start(start) ?? throw new InvalidOperationException("/bin/sh did not run.")) { IsAskedToEnd = isAskedToEnd };
    }

    /// <summary>Asks it to end instead of killing it: for one that has processes of its own to end.</summary>
    public bool IsAskedToEnd { get; init; }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            if (IsAskedToEnd)
            {
                Signals.Terminate(_process.Id);
            }
            else
            {
                _process.Kill();
            }

            using CancellationTokenSource deadline = new(StopDeadline);
            await _process.WaitForExitAsync(deadline.Token);
        }

        _process.Dispose();
    }

    /// <summary>Asks until the answer is yes; servers take a moment to find each other.</summary>
    /// <exception cref="TimeoutException">It was never yes.</exception>
    public static async Task UntilAsync(string what, Func<Task<bool>> ask, CancellationToken stop)
    {
        TimeSpan limit = TimeSpan.FromSeconds(30);
        long began = Stopwatch.GetTimestamp();
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(100));
        while (!await ask())
        {
            if (Stopwatch.GetElapsedTime(began) > limit)
            {
                throw new TimeoutException($"Waited {limit.TotalSeconds:0} s for {what}, in vain.");
            }

            await look.WaitForNextTickAsync(stop);
        }
    }
}

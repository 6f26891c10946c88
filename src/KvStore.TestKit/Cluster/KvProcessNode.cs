using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace KvStore.TestKit;

/// <summary>One node process of a <see cref="KvProcessCluster"/>: the same address and data through kills and restarts.</summary>
/// <remarks>
/// A shell starts the node, says its process number and reads its own input to the end, then kills it: if the test's process dies, however it does, its pipe closes and no node is left over. The shell
/// is the node's parent and collects it last, so the number can't go to another process meanwhile.
/// </remarks>
public sealed class KvProcessNode : IAsyncDisposable
{
    private const string Script = "\"$@\" >>\"$0\" 2>&1 </dev/null & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait $!";
    private const int LinesToShow = 30;
    private const int SigKill = 9;

    private static readonly (int Stop, int Continue) Signals = OperatingSystem.IsMacOS() ? (17, 19) : (19, 18);

    private readonly string[] _command;
    private readonly string _log;
    private readonly string _data;
    private uint _generation;
    private Process? _shell;
    private int _pid;

    internal KvProcessNode(uint id, IReadOnlyList<string> members, string directory)
    {
        Id = id;
        string address = members[(int)id - 1].Split('=')[1];
        Endpoint = $"http://{address}";
        Client = new KvNodeClient(id, Endpoint);
        _log = Path.Combine(directory, $"node-{id}.log");
        _data = Path.Combine(directory, $"node-{id}");
        _command =
        [
            Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet",
            Path.Combine(AppContext.BaseDirectory, "KvStore.Node.dll"),
            "--node-id", id.ToString(CultureInfo.InvariantCulture),
            "--cluster", "test-processes",
            "--data", _data,
            "--listen", address,
            "--table-bytes", "64MiB",
            "--segment-bytes", "4MiB",
            "--retained-log-bytes", "32MiB",
            "--low-space-bytes", "64MiB",
            "--enable-fault-injection",
            .. members.SelectMany(member => (string[])["--member", member]),
        ];
    }

    /// <summary>1 and up.</summary>
    public uint Id { get; }

    /// <summary>"http://host:port".</summary>
    public string Endpoint { get; }

    /// <summary>Started and not killed.</summary>
    public bool IsRunning => _shell is not null;

    /// <summary>The number of its process, for tools such as strace. Another one after each restart.</summary>
    /// <exception cref="InvalidOperationException">It does not run.</exception>
    public int ProcessId => _shell is not null ? _pid : throw new InvalidOperationException($"Node {Id} does not run.");

    /// <summary>Talks to this node and no other.</summary>
    public KvNodeClient Client { get; }

    /// <summary>Kills it.</summary>
    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await KillAsync();
    }

    internal async Task StartAsync(CancellationToken cancellation)
    {
        if (_shell is not null)
        {
            return;
        }

        var start = new ProcessStartInfo("/bin/sh", ["-c", Script, _log, .. _command, "--generation", _generation.ToString(CultureInfo.InvariantCulture)]) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true };
        Process shell = Process.Start(start) ?? throw new InvalidOperationException("/bin/sh did not start.");
        string? pid = await shell.StandardOutput.ReadLineAsync(cancellation);
        _pid = int.Parse(pid ?? "", CultureInfo.InvariantCulture);
        _shell = shell;
    }

    /// <summary>The disk is gone: empties the data directory of a killed node. It starts as the successor of that number under its id.</summary>
    internal void Wipe(uint generation)
    {
        if (_shell is not null)
        {
            throw new InvalidOperationException($"Node {Id} still runs.");
        }

        Directory.Delete(_data, recursive: true);
        _generation = generation;
    }

    internal async Task KillAsync()
    {
        if (_shell is { } shell)
        {
            _shell = null;
            _ = Send(_pid, SigKill);
            shell.StandardInput.Close();
            await shell.WaitForExitAsync();
            shell.Dispose();
        }
    }

    internal void Pause() => Signal(Signals.Stop);

    internal void Resume() => Signal(Signals.Continue);

    internal string DescribeLog() => !File.Exists(_log)
        ? $"node {Id}: no log"
        : $"node {Id} ({(IsRunning ? "running" : "killed")}):{Environment.NewLine}{string.Join(Environment.NewLine, File.ReadLines(_log).TakeLast(LinesToShow))}";

    private void Signal(int signal)
    {
        if (_shell is null || Send(_pid, signal) != 0)
        {
            throw new InvalidOperationException($"Node {Id} does not run.");
        }
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static extern int Send(int pid, int signal);
}

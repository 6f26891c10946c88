using System.Diagnostics;
using System.Net.NetworkInformation;
using System.Text;
using System.Text.RegularExpressions;
using KvStore.Cli.LocalCluster;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cluster.Tests.Docs;

/// <summary>
/// A directory that looks like a fresh checkout, in which the README's commands run as they stand there, and the local cluster that one of them starts. Changed are the ports, which may be in use here, and that
/// "dotnet run" builds nothing: the tests' own build has done that.
/// </summary>
internal sealed partial class ReadmeCluster : IAsyncDisposable
{
    private const int Nodes = 3;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);
    private static readonly string Configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Debug{Path.DirectorySeparatorChar}", StringComparison.Ordinal) ? "Debug" : "Release";

    private static readonly string[] Linked = ["src", "samples", "Directory.Build.props", "Directory.Packages.props", "global.json"];

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("kvstore-readme-");
    private readonly int _port = FreePorts();
    private readonly List<string> _aliases = [];
    private Process? _up;
    private KvClient? _client;

    public ReadmeCluster()
    {
        foreach (string name in Linked)
        {
            File.CreateSymbolicLink(Path.Combine(_directory.FullName, name), Checkout.PathOf(name));
        }
    }

    public IKvClient Client => _client ?? throw new InvalidOperationException("No cluster was started yet.");

    public bool IsUp => _up is not null;

    public void Alias(string definition) => _aliases.Add(Here(definition));

    /// <summary>Starts the cluster by a command that goes on until Ctrl-C, and returns when it has said that the cluster is up. One that runs is stopped first.</summary>
    public async Task UpAsync(string command, CancellationToken cancellation)
    {
        string port = _up is null ? $" --port {_port}" : "";
        await StopAsync(cancellation);

        // A session of its own, as a terminal gives one: Ctrl-C reaches all of its processes.
        _up = Start("setsid", ["bash", "-c", $"exec {Here(command).Replace("dotnet run ", "dotnet run --no-build ", StringComparison.Ordinal)}{port}"]);
        var said = new StringBuilder();
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
        while (!said.ToString().Contains("Ctrl-C stops it", StringComparison.Ordinal))
        {
            string? line = await _up.StandardOutput.ReadLineAsync(deadline.Token);
            if (line is null)
            {
                throw new InvalidOperationException($"'{command}' ended. It said: {said}{await _up.StandardError.ReadToEndAsync(deadline.Token)}");
            }

            said.AppendLine(line);
        }

        _client ??= KvClient.Create(Enumerable.Range(0, Nodes).Select(node => $"http://127.0.0.1:{_port + node}"));
    }

    /// <summary>Runs a command in the shell of another terminal.</summary>
    public async Task<(int Code, string Out, string Error)> RunAsync(string command, CancellationToken cancellation)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
        using Process shell = Start("bash", ["-c", string.Join('\n', ["shopt -s expand_aliases", .. _aliases, Here(command)])]);
        Task<string> output = shell.StandardOutput.ReadToEndAsync(deadline.Token), error = shell.StandardError.ReadToEndAsync(deadline.Token);
        await shell.WaitForExitAsync(deadline.Token);
        return (shell.ExitCode, await output, await error);
    }

    /// <summary>As much time as a person takes to type the next command: the nodes have noticed what was done to the network, and the shards have leaders again after a heal. A request by curl is tried once, which is not so of kv's.</summary>
    public async Task NoticeAsync(bool isHealed, CancellationToken cancellation)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        do
        {
            await look.WaitForNextTickAsync(deadline.Token);
        }
        while (!await HasNoticedAsync(isHealed, deadline.Token));
    }

    public async ValueTask DisposeAsync()
    {
        if (_client is not null)
        {
            await _client.DisposeAsync();
        }

        if (_up is { HasExited: false })
        {
            Signal("KILL");
            await _up.WaitForExitAsync();
        }

        _up?.Dispose();
        foreach (string name in Linked)
        {
            // The links alone, before what is really here.
            File.Delete(Path.Combine(_directory.FullName, name));
        }

        _directory.Delete(recursive: true);
    }

    /// <summary>Ctrl-C.</summary>
    public async Task StopAsync(CancellationToken cancellation)
    {
        if (_up is null)
        {
            return;
        }

        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
        Signal("INT");
        await _up.WaitForExitAsync(deadline.Token);
        if (_up.ExitCode != 0)
        {
            throw new InvalidOperationException($"The cluster ended with {_up.ExitCode} after Ctrl-C: {await _up.StandardError.ReadToEndAsync(deadline.Token)}");
        }
    }

    private async Task<bool> HasNoticedAsync(bool isHealed, CancellationToken cancellation)
    {
        for (uint node = 1; node <= Nodes; node++)
        {
            uint[] cut = [.. (await Client.Admin.ListFaultsAsync(node, cancellation)).Select(link => link.Peer)];
            NodeStatusResponse status = await Client.Admin.NodeStatusAsync(node, replicas: isHealed, cancellationToken: cancellation);
            if (status.Peers.Any(peer => isHealed ? peer.Reachability != Reachability.Up : cut.Contains(peer.Node) && peer.Reachability != Reachability.Down)
                || status.Replicas.Any(replica => replica.Leader == 0))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>To the whole session of the command that runs.</summary>
    private void Signal(string name) => Process.Start("kill", [$"-{name}", "--", $"-{_up!.Id}"]).WaitForExit();

    private Process Start(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = _directory.FullName, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string variable in start.Environment.Keys.Where(name => name.StartsWith("KV_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(variable);
        }

        // Nothing that this machine's user has chosen for kv.
        start.Environment["XDG_CONFIG_HOME"] = _directory.FullName;
        return Process.Start(start)!;
    }

    private string Here(string command) => Address().Replace(command, match => $"127.0.0.1:{(match.Groups["kind"].Value == "7" ? _port : _port + ClusterPlan.HttpOffset) + int.Parse(match.Groups["node"].ValueSpan) - 1}")
        .Replace("Release", Configuration, StringComparison.Ordinal);

    /// <summary>The first of as many as there are nodes, with as many for HTTP behind the usual offset.</summary>
    private static int FreePorts()
    {
        HashSet<int> taken = [.. IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Select(listener => listener.Port)];
        int first;
        do
        {
            first = ConsecutivePorts.Find(Nodes);
        }
        while (Enumerable.Range(first + ClusterPlan.HttpOffset, Nodes).Any(taken.Contains));
        return first;
    }

    [GeneratedRegex(@"127\.0\.0\.1:(?<kind>[78])00(?<node>\d)")]
    private static partial Regex Address();
}

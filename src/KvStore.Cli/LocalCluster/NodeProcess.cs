using System.Diagnostics;
using System.Globalization;
using KvStore.Cli.Running;

namespace KvStore.Cli.LocalCluster;

/// <summary>A node of a local cluster: this program once more, as <c>kv node</c>, with its output in a log file.</summary>
internal sealed class NodeProcess : IDisposable
{
    private readonly Process _process;

    private NodeProcess(int node, Process process, string logFile, Uri endpoint)
    {
        Node = node;
        _process = process;
        LogFile = logFile;
        Endpoint = endpoint;
        Pid = process.Id;
        Identity = ProcessIdentity.Of(Pid) ?? "";
    }

    public int Node { get; }

    public int Pid { get; }

    public string Identity { get; }

    public string LogFile { get; }

    public Uri Endpoint { get; }

    public bool HasExited => _process.HasExited;

    public int CodeOfExit => _process.ExitCode;

    public RunningNode ToRunning() => new(Node, Endpoint.ToString().TrimEnd('/'), Pid, Identity);

    /// <summary>Starts a node.</summary>
    /// <param name="directory">The cluster's directory.</param>
    /// <param name="plan">The cluster.</param>
    /// <param name="node">Which of its nodes.</param>
    /// <param name="faultInjection">Whether links may be cut on request.</param>
    /// <param name="detached">True: it outlives this process and its terminal. False: it ends with this process.</param>
    public static NodeProcess Start(ClusterDirectory directory, ClusterPlan plan, int node, bool faultInjection, bool detached)
    {
        var log = directory.NodeLog(node);
        Directory.CreateDirectory(Path.GetDirectoryName(log)!);
        Directory.CreateDirectory(directory.NodeData(node));

        // The shell only connects the output to the file and becomes the node: the process number stays the same.
        var start = new ProcessStartInfo("/bin/sh") { UseShellExecute = false, RedirectStandardInput = !detached };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(detached ? "exec \"$@\" >>\"$0\" 2>&1 </dev/null" : "exec \"$@\" >>\"$0\" 2>&1");
        start.ArgumentList.Add(log);
        foreach (var argument in (string[])[.. Program(), "node", .. NodeArguments.For(directory, plan, node, faultInjection)])
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment[detached ? NodeCommand.DetachedVariable : NodeCommand.EndWithInputVariable] = "1";
        var process = Process.Start(start) ?? throw new CliFailure(ExitCode.Failed, $"Node {node} could not be started; /bin/sh did not run.");
        return new NodeProcess(node, process, log, plan.EndpointOf(node));
    }

    /// <summary>Asks it to end in good order. Does not wait.</summary>
    public void Stop()
    {
        if (!_process.HasExited)
        {
            Signals.Terminate(Pid);
        }
    }

    /// <summary>Ends it at once. For nodes that do not end when asked.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }
    }

    public Task WaitForExitAsync(CancellationToken cancellation) => _process.WaitForExitAsync(cancellation);

    /// <summary>Says why it ended: its exit code and the last line of its log.</summary>
    public string DescribeExit()
    {
        var code = _process.ExitCode.ToString(CultureInfo.InvariantCulture);
        return LastLine() is { } line
            ? $"Node {Node} ended with code {code}: {line} (log: {LogFile})"
            : $"Node {Node} ended with code {code} and left no log; run 'kv node --help' to see whether it runs at all.";
    }

    public void Dispose() => _process.Dispose();

    /// <summary>How to run this program: itself, or dotnet with it when something else is the process (dotnet itself, a test).</summary>
    private static string[] Program()
    {
        var self = Environment.ProcessPath;
        if (self is not null && Path.GetFileNameWithoutExtension(self) == "kv")
        {
            return [self];
        }

        var dotnet = self is not null && Path.GetFileNameWithoutExtension(self) == "dotnet"
            ? self
            : Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        return [dotnet, Path.Combine(AppContext.BaseDirectory, "kv.dll")];
    }

    private string? LastLine()
    {
        try
        {
            return File.ReadLines(LogFile).LastOrDefault(line => line.Trim().Length > 0)?.Trim();
        }
        catch (IOException)
        {
            return null;
        }
    }
}

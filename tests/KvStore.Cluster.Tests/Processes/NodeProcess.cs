using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using KvStore.Node.Hosting;

namespace KvStore.Cluster.Tests.Processes;

/// <summary>A node in a process of its own, from the built program. Disposing kills it.</summary>
internal sealed class NodeProcess : IDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _errors = new();

    private NodeProcess(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => Take(_output, line.Data);
        process.ErrorDataReceived += (_, line) => Take(_errors, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    /// <summary>What it logged so far.</summary>
    public string Output => Read(_output);

    /// <summary>What it said on standard error so far, without the last line break.</summary>
    public string Errors => Read(_errors).TrimEnd();

    public bool HasExited => _process.HasExited;

    /// <summary>What it has in memory now, in bytes.</summary>
    public long ResidentBytes
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>Starts it with these flags and nothing else: no variable of this process's environment reaches it as a setting.</summary>
    public static NodeProcess Start(params IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(typeof(NodeProgram).Assembly.Location);
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (string variable in start.Environment.Keys.Where(name => name.StartsWith("KV_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(variable);
        }

        return new NodeProcess(Process.Start(start)!);
    }

    /// <summary>The flags of node 1 of the cluster "test", alone.</summary>
    public static string[] Flags(string directory, int port, string cluster = "test", int node = 1) =>
        ["--cluster", cluster, "--node-id", $"{node}", "--data", directory, "--listen", $"127.0.0.1:{port}", "--segment-bytes", "4MiB", "--low-space-bytes", "0"];

    public static int FreePort()
    {
        using Socket probe = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    /// <summary>Waits for its end.</summary>
    /// <returns>Its exit code and what it said on standard error.</returns>
    public async Task<(int Code, string Errors)> EndAsync(CancellationToken cancellation)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
        await _process.WaitForExitAsync(deadline.Token);
        return (_process.ExitCode, Errors);
    }

    /// <summary>Waits until it has logged this.</summary>
    /// <exception cref="InvalidOperationException">It ended, or did not within <see cref="Deadline"/>.</exception>
    public async Task LoggedAsync(string text, CancellationToken cancellation)
    {
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(20));
        long begin = Stopwatch.GetTimestamp();
        while (!Output.Contains(text, StringComparison.Ordinal))
        {
            if (HasExited || Stopwatch.GetElapsedTime(begin) > Deadline)
            {
                throw new InvalidOperationException($"The node did not log '{text}'. It said:{Environment.NewLine}{Output}{Errors}");
            }

            await look.WaitForNextTickAsync(cancellation);
        }
    }

    /// <summary>It is ready to serve.</summary>
    public Task ReadyAsync(CancellationToken cancellation) => LoggedAsync("Ready: True", cancellation);

    /// <summary>kill -9, and waits for the end.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    public void Dispose()
    {
        if (!HasExited)
        {
            Kill();
        }

        _process.Dispose();
    }

    private static void Take(StringBuilder text, string? line)
    {
        if (line is not null)
        {
            lock (text)
            {
                text.AppendLine(line);
            }
        }
    }

    private static string Read(StringBuilder text)
    {
        lock (text)
        {
            return text.ToString();
        }
    }
}

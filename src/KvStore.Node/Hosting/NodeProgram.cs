using System.Runtime.InteropServices;

namespace KvStore.Node.Hosting;

/// <summary>The program around one node: its arguments, signals and exit code. <c>kv node</c> calls the same entry.</summary>
public static class NodeProgram
{
    /// <param name="arguments">Without the program's name. See <see cref="NodeCommandLine.Help"/>.</param>
    /// <returns>One of <see cref="ExitCodes"/>.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        switch (arguments)
        {
            case ["--help" or "-h" or "help", ..]:
                await Console.Out.WriteAsync(NodeCommandLine.Help());
                return ExitCodes.Ok;
            case ["--version"]:
                await Console.Out.WriteLineAsync(typeof(NodeProgram).Assembly.GetName().Version?.ToString(3));
                return ExitCodes.Ok;
            case ["healthcheck", .. var rest]:
                return await HealthProbe.RunAsync(rest, Console.Out, Console.Error);
            default:
                return await ServeAsync(arguments);
        }
    }

    private static async Task<int> ServeAsync(string[] arguments)
    {
        try
        {
            NodeOptions options = NodeCommandLine.Parse(arguments, NodeCommandLine.Environment());
            return await ServeAsync(options);
        }
        catch (NodeFailureException failure)
        {
            await Console.Error.WriteLineAsync(failure.Message);
            return failure.ExitCode;
        }
        catch (OperationCanceledException)
        {
            // Told to stop while it was still starting.
            return ExitCodes.Ok;
        }
        catch (Exception defect)
        {
            await Console.Error.WriteLineAsync($"A defect of the program ended it: {defect}");
            return ExitCodes.Internal;
        }
    }

    private static async Task<int> ServeAsync(NodeOptions options)
    {
        using CancellationTokenSource asked = new();
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);

        await using KvNode node = await KvNode.StartAsync(options, asked.Token);
        TaskCompletionSource stop = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration registration = asked.Token.Register(stop.SetResult);
        await Task.WhenAny(stop.Task, node.Lifetime.Failed);
        if (!node.Lifetime.Failed.IsCompleted)
        {
            await node.StopAsync(CancellationToken.None);
            return ExitCodes.Ok;
        }

        Exception failure = await node.Lifetime.Failed;
        await node.KillAsync();
        await Console.Error.WriteLineAsync($"The node can't go on: {failure.Message}");
        return failure switch
        {
            NodeFailureException known => known.ExitCode,
            IOException => ExitCodes.InputOutput,
            _ => ExitCodes.Internal,
        };

        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            asked.Cancel();
        }
    }
}

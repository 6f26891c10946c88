using KvStore.Node.Hosting;

namespace KvStore.Cli.LocalCluster;

/// <summary>
/// The hidden command <c>kv node ...</c>: the node's program inside kv, so that one executable is a whole cluster. All arguments are the node's own.
/// </summary>
internal static class NodeCommand
{
    /// <summary>Set to 1: end in good order when standard input does. The pipe closes when the parent ends, however it ends.</summary>
    public const string EndWithInputVariable = "KV_NODE_END_WITH_INPUT";

    /// <summary>Set to 1: run on when the terminal closes.</summary>
    public const string DetachedVariable = "KV_NODE_DETACHED";

    public static async Task<int> RunAsync(string[] arguments)
    {
        if (Environment.GetEnvironmentVariable(DetachedVariable) == "1" && !OperatingSystem.IsWindows())
        {
            Signals.LeaveTerminal();
        }

        if (Environment.GetEnvironmentVariable(EndWithInputVariable) == "1" && !OperatingSystem.IsWindows())
        {
            new Thread(EndWithInput) { IsBackground = true, Name = "parent watch" }.Start();
        }

        return await NodeProgram.RunAsync(arguments);
    }

    private static void EndWithInput()
    {
        using var input = Console.OpenStandardInput();
        Span<byte> ignored = stackalloc byte[64];
        while (input.Read(ignored) > 0)
        {
            // Nobody has anything to say on it; only its end matters.
        }

        Signals.Terminate(Environment.ProcessId);
    }
}

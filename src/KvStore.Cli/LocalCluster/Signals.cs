using System.Runtime.InteropServices;

namespace KvStore.Cli.LocalCluster;

/// <summary>The three calls of the operating system that .NET has no words for.</summary>
internal static class Signals
{
    private const int SigTerm = 15;

    private const int SigKill = 9;

    /// <summary>Asks a process to end in good order. False when there is none.</summary>
    public static bool Terminate(int pid) => Send(pid, SigTerm) == 0;

    /// <summary>Ends a process at once.</summary>
    public static bool Kill(int pid) => Send(pid, SigKill) == 0;

    /// <summary>Makes this process the leader of a session of its own: a closed terminal or its Ctrl-C no longer reach it.</summary>
    public static void LeaveTerminal() => _ = SetSid();

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static extern int Send(int pid, int signal);

    [DllImport("libc", EntryPoint = "setsid", SetLastError = true)]
    private static extern int SetSid();
}

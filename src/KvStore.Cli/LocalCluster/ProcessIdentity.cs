using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace KvStore.Cli.LocalCluster;

/// <summary>
/// Tells processes apart that had the same number at different times. On Linux: the start time in clock ticks since boot from /proc, which no change of the
/// wall clock moves. Elsewhere: the start time.
/// </summary>
internal static class ProcessIdentity
{
    /// <summary>What stays the same as long as the process lives; null when there is no such process, or only its exit status is left.</summary>
    public static string? Of(int pid) => OperatingSystem.IsLinux() ? OfLinux(pid) : OfOther(pid);

    private static string? OfLinux(int pid)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/stat");

            // The name in parentheses may hold anything; behind it come state (3rd field) and, as the 22nd, the start time.
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] is "Z" or "X" ? null : fields[19];
        }
        catch (IOException)
        {
            return null;
        }
        catch (UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string? OfOther(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            return process.HasExited ? null : process.StartTime.ToUniversalTime().Ticks.ToString(CultureInfo.InvariantCulture);
        }
        catch (ArgumentException)
        {
            return null;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}

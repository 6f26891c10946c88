using Grpc.Core;
using KvStore.Client;

namespace KvStore.TestKit;

/// <summary>Waits for a condition by looking again and again: never longer than it takes, and never without an end.</summary>
internal static class Waiting
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    /// <summary>Returns when the condition holds. A <see cref="KvException"/> or <see cref="RpcException"/> counts as "not yet".</summary>
    /// <exception cref="TimeoutException">It did not come true by the deadline; the message ends with the description.</exception>
    public static async Task UntilAsync(string condition, Func<Task<bool>> holds, TimeSpan deadline, Func<Task<string>> describe, CancellationToken cancellation)
    {
        using var look = new PeriodicTimer(Pause);
        long begin = TimeProvider.System.GetTimestamp();
        Exception? last = null;
        do
        {
            try
            {
                if (await holds())
                {
                    return;
                }
            }
            catch (Exception notYet) when (notYet is KvException or RpcException)
            {
                last = notYet;
            }
        }
        while (TimeProvider.System.GetElapsedTime(begin) < deadline && await look.WaitForNextTickAsync(cancellation));

        throw new TimeoutException($"Not within {deadline.TotalSeconds:0} s: {condition}.{Environment.NewLine}{await describe()}", last);
    }
}

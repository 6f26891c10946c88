using System.Diagnostics;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bulk;

/// <summary>Says now and then how far it is, and in the end how fast it was. On standard error.</summary>
internal sealed class ProgressLine(CommandContext context, string verb)
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(2);

    private readonly long _begun = Stopwatch.GetTimestamp();
    private readonly Lock _gate = new();
    private long _told = Stopwatch.GetTimestamp();

    public void Tell(long done)
    {
        if (Stopwatch.GetElapsedTime(Volatile.Read(ref _told)) < Pause)
        {
            return;
        }

        lock (_gate)
        {
            if (Stopwatch.GetElapsedTime(_told) >= Pause)
            {
                _told = Stopwatch.GetTimestamp();
                context.Note($"{done:N0} records {verb}, {Rate(done):N0}/s");
            }
        }
    }

    public string Sum(long done) => $"{done:N0} records {verb} in {Stopwatch.GetElapsedTime(_begun).TotalSeconds:0.0} s, {Rate(done):N0}/s";

    private double Rate(long done) => done / Math.Max(0.001, Stopwatch.GetElapsedTime(_begun).TotalSeconds);
}

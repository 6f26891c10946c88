using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Rig;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bench.Soak;

/// <summary>What the nodes used over the time of a soak: a line for each node and reading, and in the end how fast their memory grew.</summary>
internal sealed class SoakJournal(OwnCluster cluster, CommandContext context)
{
    private readonly List<Entry> _entries = [];
    private LoadProgress _previous;

    public void WriteHeader() => context.Line("  time     op/s  not done  unknown  node  resident MiB  heap MiB  threads  files  disk MiB  cpu %");

    /// <summary>Reads all nodes, and writes down what the load did since the last reading.</summary>
    public async Task ReadAsync(LoadProgress progress)
    {
        var seconds = (progress.Elapsed - _previous.Elapsed).TotalSeconds;
        var done = seconds > 0 ? (progress.Completed - _previous.Completed) / seconds : 0;
        foreach (var node in cluster.Nodes)
        {
            var reading = NodeReading.Of(node);
            var before = _entries.LastOrDefault(entry => entry.Reading.Node == node.Node)?.Reading.Used ?? reading.Used;
            var heap = await cluster.HeapBytesAsync(node, context.Stop);
            _entries.Add(new Entry(progress.Elapsed, reading));
            var load = node.Node == 1
                ? Text($"{progress.Elapsed.TotalMinutes,6:0.0}  {done,7:N0}  {progress.Failed,8:N0}  {progress.Unknown,7:N0}")
                : new string(' ', 33);
            context.Line(Text(
                $"{load}  {node.Node,4}  {reading.ResidentBytes / 1_048_576.0,12:N1}  {(heap is { } bytes ? Text($"{bytes / 1_048_576.0:N1}") : "-"),8}  {reading.Threads,7}  {reading.OpenFiles?.ToString(CultureInfo.InvariantCulture) ?? "-",5}  {cluster.DiskBytes(node) / 1_048_576.0,8:N1}  {(seconds > 0 ? 100 * (reading.Used - before).TotalSeconds / seconds : 0),5:0}"));
        }

        _previous = progress;
    }

    /// <summary>The slope of resident memory over the second half, by least squares: in the first, caches and windows fill.</summary>
    public IEnumerable<string> Growth()
    {
        var half = _entries[^1].At / 2;
        foreach (var node in _entries.Where(entry => entry.At >= half).GroupBy(entry => entry.Reading.Node))
        {
            (double Hours, double MiB)[] points = [.. node.Select(entry => (entry.At.TotalHours, entry.Reading.ResidentBytes / 1_048_576.0))];
            yield return Text($"node {node.Key}: {Slope(points):+0.0;-0.0;0.0} MiB/h over the second half ({points.Length} readings, {points.Min(point => point.MiB):N1} to {points.Max(point => point.MiB):N1} MiB, last {points[^1].MiB:N1})");
        }
    }

    /// <summary>0 where there are too few points for a slope.</summary>
    internal static double Slope((double X, double Y)[] points)
    {
        var (meanX, meanY) = (points.Average(point => point.X), points.Average(point => point.Y));
        var spread = points.Sum(point => (point.X - meanX) * (point.X - meanX));
        return spread == 0 ? 0 : points.Sum(point => (point.X - meanX) * (point.Y - meanY)) / spread;
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record Entry(TimeSpan At, NodeReading Reading);
}

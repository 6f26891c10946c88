using System.Globalization;
using KvStore.Cli.Bench.Load;

namespace KvStore.Cli.Bench;

/// <summary>Shows what a benchmark measured: lines for people, a line of CSV, a percentile distribution for HdrHistogram's plotter.</summary>
/// <param name="Settings">What was asked for.</param>
/// <param name="Load">What was measured.</param>
/// <param name="GeneratorCpu">Processor time of kv itself during the measurement: near one processor, the generator is the bottleneck.</param>
/// <param name="Machine">Busy and stolen percent of the machine; null where the system does not tell.</param>
internal sealed record BenchReport(BenchSettings Settings, LoadReport Load, TimeSpan GeneratorCpu, (double Busy, double Steal)? Machine)
{
    private const string CsvHeader =
        "time,kind,keyspace,concurrency,rate,keys,value_bytes,elapsed_s,done,per_second,p50_us,p90_us,p99_us,p999_us,max_us,failed,unknown,not_sent,cpu_s,busy_percent,steal_percent";

    public IEnumerable<string> Lines()
    {
        var name = Settings.Kind.ToString().ToLowerInvariant();
        yield return Text($"{name} on {Settings.Keyspace}: {Settings.Concurrency} in flight{Rate()}, {Settings.Keys:N0} keys, values of {Settings.ValueSize:N0} bytes");
        yield return Text($"  throughput  {Load.PerSecond:N0} op/s ({Load.DoneInTime:N0} in {Load.Elapsed.TotalSeconds:0.00} s)");
        yield return $"  latency     p50 {Time(Load.Percentile(50))}  p90 {Time(Load.Percentile(90))}  p99 {Time(Load.Percentile(99))}  p99.9 {Time(Load.Percentile(99.9))}  max {Time(Load.Max)}";
        yield return $"  not done    {Codes(Load.Failed)}";
        yield return $"  unknown     {Codes(Load.Unknown)}";
        if (Settings.Rate is not null)
        {
            yield return Text($"  not sent    {Load.DueButNotSent:N0} (due before the end, but all {Settings.Concurrency} were waiting for answers)");
        }

        var cpu = Text($"  generator   {GeneratorCpu.TotalSeconds:0.00} s of processor time");
        yield return Machine is { } machine ? cpu + Text($"; machine busy {machine.Busy:0.0} %, steal {machine.Steal:0.0} %") : cpu;
    }

    /// <summary>Adds a line to a file; the header first where the file is new.</summary>
    public void AppendCsv(string file)
    {
        var lines = File.Exists(file) ? new List<string>() : [CsvHeader];
        lines.Add(Text(
            $"{DateTimeOffset.UtcNow:O},{Settings.Kind.ToString().ToLowerInvariant()},{Settings.Keyspace},{Settings.Concurrency},{Settings.Rate},{Settings.Keys},{Settings.ValueSize},{Load.Elapsed.TotalSeconds:0.000},{Load.DoneInTime},{Load.PerSecond:0.0},{Us(50)},{Us(90)},{Us(99)},{Us(99.9)},{Load.Max.TotalMicroseconds:0},{Load.FailedCount},{Load.UnknownCount},{Load.DueButNotSent},{GeneratorCpu.TotalSeconds:0.000},{Machine?.Busy:0.0},{Machine?.Steal:0.0}"));
        File.AppendAllLines(file, lines);
    }

    /// <summary>Writes the distribution in milliseconds, replacing the file.</summary>
    public void WriteHdr(string file)
    {
        using var writer = new StreamWriter(file);
        HdrHistogram.HistogramExtensions.OutputPercentileDistribution(Load.Latencies, writer, 5, 1_000);
    }

    public static string Line(LoadProgress second) => Text(
        $"{second.Elapsed.TotalSeconds,5:0}s  {second.PerSecond,10:N0} op/s  p99 {Time(second.P99),9}  not done {second.Failed:N0}  unknown {second.Unknown:N0}");

    public static string Time(TimeSpan time) => time switch
    {
        { TotalMicroseconds: < 1_000 } => Text($"{time.TotalMicroseconds:0} us"),
        { TotalMilliseconds: < 1_000 } => Text($"{time.TotalMilliseconds:0.00} ms"),
        _ => Text($"{time.TotalSeconds:0.00} s"),
    };

    private string Rate() => Settings.Rate is { } rate ? Text($", {rate:N0} op/s due (open loop)") : "";

    private string Us(double percentile) => Text($"{Load.Percentile(percentile).TotalMicroseconds:0}");

    public static string Codes(IReadOnlyDictionary<string, long> codes) => codes.Count == 0
        ? "0"
        : string.Join(", ", codes.OrderByDescending(code => code.Value).Select(code => Text($"{code.Value:N0} {code.Key}")));

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

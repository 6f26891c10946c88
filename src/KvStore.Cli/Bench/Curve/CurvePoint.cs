using System.Globalization;
using KvStore.Cli.Bench.Load;

namespace KvStore.Cli.Bench.Curve;

/// <summary>What was measured at one offered rate.</summary>
/// <param name="Series">Which operation.</param>
/// <param name="Percent">Per cent of saturation.</param>
/// <param name="Offered">Operations due per second.</param>
/// <param name="Load">What came of them.</param>
/// <param name="NodesCpu">Processor time of all nodes meanwhile.</param>
/// <param name="GeneratorCpu">Processor time of kv itself meanwhile.</param>
/// <param name="Machine">How busy the machine was, in words.</param>
internal sealed record CurvePoint(string Series, int Percent, double Offered, LoadReport Load, TimeSpan NodesCpu, TimeSpan GeneratorCpu, string Machine)
{
    public const string Header = "  load   offered/s      done/s       p50       p99     p99.9       max  not done  unknown  not sent  nodes, cores  kv, cores  machine";

    private const string CsvHeader = "series,percent_of_saturation,offered_per_second,done_per_second,p50_us,p99_us,p999_us,max_us,failed,unknown,not_sent,nodes_cores,generator_cores,machine";

    public string Line() => Text(
        $"{Percent,4} %  {Offered,10:N0}  {Load.PerSecond,10:N0}  {BenchReport.Time(Load.Percentile(50)),8}  {BenchReport.Time(Load.Percentile(99)),8}  {BenchReport.Time(Load.Percentile(99.9)),8}  {BenchReport.Time(Load.Max),8}  {Load.FailedCount,8:N0}  {Load.UnknownCount,7:N0}  {Load.DueButNotSent,8:N0}  {NodesCpu / Load.Elapsed,12:0.00}  {GeneratorCpu / Load.Elapsed,9:0.00}  {Machine}");

    public static void WriteCsv(string file, IEnumerable<CurvePoint> points) => File.WriteAllLines(file, [CsvHeader, .. points.Select(point => point.Csv())]);

    private string Csv() => Text(
        $"{Series},{Percent},{Offered:0},{Load.PerSecond:0},{Us(50)},{Us(99)},{Us(99.9)},{Load.Max.TotalMicroseconds:0},{Load.FailedCount},{Load.UnknownCount},{Load.DueButNotSent},{NodesCpu / Load.Elapsed:0.00},{GeneratorCpu / Load.Elapsed:0.00},\"{Machine}\"");

    private string Us(double percentile) => Text($"{Load.Percentile(percentile).TotalMicroseconds:0}");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

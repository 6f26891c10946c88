using System.Globalization;
using System.Text;

namespace KvStore.Cli.Bench.Curve;

/// <summary>Draws latency against offered rate as SVG: a panel for each series, latency on a logarithmic axis that all panels share.</summary>
internal static class LatencyPlot
{
    private const int PanelWidth = 440;
    private const int PanelHeight = 320;
    private const int Left = 70;
    private const int Top = 50;
    private const int Gap = 40;
    private const int Below = 70;

    private static readonly (string Name, double Percentile, string Colour)[] Lines = [("p50", 50, "#1f77b4"), ("p99", 99, "#ff7f0e"), ("p99.9", 99.9, "#d62728")];

    public static void Write(string file, IReadOnlyList<CurvePoint> points)
    {
        var panels = points.GroupBy(point => point.Series).ToList();
        var width = Left + (panels.Count * (PanelWidth + Gap));
        var svg = new StringBuilder();
        svg.AppendLine(Text($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {Top + PanelHeight + Below}\" font-family=\"sans-serif\" font-size=\"12\">"));
        svg.AppendLine("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
        double[] milliseconds = [.. points.SelectMany(point => Lines.Select(line => Latency(point, line.Percentile)))];
        var scale = new Scale(Math.Floor(Math.Log10(milliseconds.Min())), Math.Ceiling(Math.Log10(milliseconds.Max()) + 0.001));
        for (var panel = 0; panel < panels.Count; panel++)
        {
            svg.AppendLine(Text($"<g transform=\"translate({Left + (panel * (PanelWidth + Gap))},{Top})\">"));
            Draw(svg, panels[panel].Key, [.. panels[panel]], scale, isFirst: panel == 0);
            svg.AppendLine("</g>");
        }

        svg.AppendLine(Text($"<text transform=\"translate(16,{Top + (PanelHeight / 2)}) rotate(-90)\" text-anchor=\"middle\">latency from the moment at which an operation was due</text>"));
        svg.AppendLine("</svg>");
        File.WriteAllText(file, svg.ToString());
    }

    private static void Draw(StringBuilder svg, string title, CurvePoint[] points, Scale scale, bool isFirst)
    {
        svg.AppendLine(Text($"<text x=\"{PanelWidth / 2}\" y=\"-24\" text-anchor=\"middle\" font-weight=\"bold\">{title}</text>"));
        for (var power = scale.Lowest; power <= scale.Highest; power++)
        {
            svg.AppendLine(Text($"<line x1=\"0\" x2=\"{PanelWidth}\" y1=\"{scale.Y(power):0.0}\" y2=\"{scale.Y(power):0.0}\" stroke=\"#ddd\"/>"));
            if (isFirst)
            {
                svg.AppendLine(Text($"<text x=\"-8\" y=\"{scale.Y(power) + 4:0.0}\" text-anchor=\"end\">{BenchReport.Time(TimeSpan.FromMilliseconds(Math.Pow(10, power))).Replace(".00", "", StringComparison.Ordinal)}</text>"));
            }
        }

        var most = points.Max(point => point.Offered);
        double X(double rate) => rate / most * (PanelWidth - 10);
        foreach (var point in points)
        {
            svg.AppendLine(Text($"<text transform=\"translate({X(point.Offered):0.0},{PanelHeight + 8}) rotate(-45)\" text-anchor=\"end\">{point.Offered:N0}</text>"));
        }

        svg.AppendLine(Text($"<text x=\"{PanelWidth / 2}\" y=\"{PanelHeight + 62}\" text-anchor=\"middle\">operations offered per second (the last: {points[^1].Percent} % of saturation)</text>"));
        svg.AppendLine(Text($"<rect width=\"{PanelWidth}\" height=\"{PanelHeight}\" fill=\"none\" stroke=\"black\"/>"));
        for (var line = 0; line < Lines.Length; line++)
        {
            var (name, percentile, colour) = Lines[line];
            (double X, double Y)[] spots = [.. points.Select(point => (X(point.Offered), scale.Y(Math.Log10(Latency(point, percentile)))))];
            svg.AppendLine(Text($"<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{string.Join(' ', spots.Select(spot => Text($"{spot.X:0.0},{spot.Y:0.0}")))}\"/>"));
            foreach (var (x, y) in spots)
            {
                svg.AppendLine(Text($"<circle cx=\"{x:0.0}\" cy=\"{y:0.0}\" r=\"3\" fill=\"{colour}\"/>"));
            }

            svg.AppendLine(Text($"<text x=\"{10 + (line * 60)}\" y=\"-6\" fill=\"{colour}\">{name}</text>"));
        }
    }

    /// <summary>In milliseconds; at least a microsecond, for the logarithm's sake.</summary>
    private static double Latency(CurvePoint point, double percentile) => Math.Max(0.001, point.Load.Percentile(percentile).TotalMilliseconds);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>Powers of ten of a millisecond, from the bottom of a panel to its top.</summary>
    private readonly record struct Scale(double Lowest, double Highest)
    {
        public double Y(double power) => PanelHeight * (Highest - power) / (Highest - Lowest);
    }
}

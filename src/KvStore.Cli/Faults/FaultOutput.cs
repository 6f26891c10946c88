using System.Globalization;
using Google.Protobuf;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Faults;

/// <summary>Shows the faults of links.</summary>
internal static class FaultOutput
{
    public static void Show(CommandContext context, OutputFormat format, IReadOnlyList<(uint Node, LinkFault Fault)> faults)
    {
        if (format == OutputFormat.Json)
        {
            WriteJson(context, faults);
            return;
        }

        var table = new TextTable("node", "peer", "cut", "delay", "drop", "duplicate", "reorder");
        foreach (var (node, fault) in faults)
        {
            table.Add(
                Text(node), Text(fault.Peer), Cut(fault), Text(fault.DelayMs) + " ms", Percent(fault.Drop), Percent(fault.Duplicate), Percent(fault.Reorder));
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else if (faults.Count == 0)
        {
            context.Line("No faults: all links work.");
        }
        else
        {
            context.Write(table);
        }
    }

    private static void WriteJson(CommandContext context, IReadOnlyList<(uint Node, LinkFault Fault)> faults) => JsonOutput.Write(context.Terminal.Out, json =>
    {
        json.WriteStartArray();
        foreach (var (node, fault) in faults)
        {
            json.WriteStartObject();
            json.WriteNumber("node", node);
            json.WritePropertyName("fault");
            json.WriteRawValue(JsonFormatter.Default.Format(fault));
            json.WriteEndObject();
        }

        json.WriteEndArray();
    });

    private static string Cut(LinkFault fault) => (fault.CutOutbound, fault.CutInbound) switch
    {
        (true, true) => "both ways",
        (true, false) => "outbound",
        (false, true) => "inbound",
        _ => "-",
    };

    private static string Percent(double chance) => string.Create(CultureInfo.InvariantCulture, $"{100 * chance:0.#} %");

    private static string Text(IFormattable number) => number.ToString(null, CultureInfo.InvariantCulture);
}

using System.CommandLine;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bench.Rig;

/// <summary>Options that are numbers and times, with bounds and a stated default.</summary>
internal static class Amounts
{
    public static Option<int> Count(string name, string description, int usual, int least, int most) => new(name)
    {
        Description = $"{description} Default: {usual}.",
        HelpName = "N",
        DefaultValueFactory = _ => usual,
        CustomParser = result => Quantities.ParseCount(result, least, most),
    };

    public static Option<TimeSpan> Time(string name, string description, TimeSpan usual, TimeSpan least, TimeSpan most) => new(name)
    {
        Description = $"{description} Default: {Quantities.Describe(usual)}.",
        HelpName = "TIME",
        DefaultValueFactory = _ => usual,
        CustomParser = result => Quantities.ParseTime(result, least, most),
    };
}

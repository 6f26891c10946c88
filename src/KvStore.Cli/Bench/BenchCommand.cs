using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Bench.Curve;
using KvStore.Cli.Bench.Footprint;
using KvStore.Cli.Bench.Growth;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Overload;
using KvStore.Cli.Bench.Soak;
using KvStore.Cli.Keyspaces;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bench;

/// <summary><c>kv bench put|get|mixed|curve|failover|growth|idle|memory|overload|soak|switch|watch</c>.</summary>
internal static class BenchCommand
{
    private const string Examples =
        """
        kv bench put -k bench --create --policy cp --replication sync --concurrency 64
        kv bench get -k bench --duration 30s --level eventual
        kv bench mixed -k bench --rate 5000 --hdr mixed.hgrm --csv runs.csv
        """;

    public static Command Create(CommandHost host) => new("bench", "Measure throughput and latency; and, on clusters of their own, failover, overload, memory, growth and more.")
    {
        Create(host, BenchKind.Put, "Write random keys."),
        Create(host, BenchKind.Get, "Read random keys; all keys are written first."),
        Create(host, BenchKind.Mixed, "Read and write random keys, half and half; all keys are written first."),
        CurveCommand.Create(host),
        FailoverCommand.Create(host),
        GrowthCommand.Create(host),
        IdleCommand.Create(host),
        MemoryCommand.Create(host),
        OverloadCommand.Create(host),
        SoakCommand.Create(host),
        SwitchBenchCommand.Create(host),
        WatchBenchCommand.Create(host),
    };

    private static Command Create(CommandHost host, BenchKind kind, string description)
    {
        var options = new BenchOptions();
        var command = new Command(kind.ToString().ToLowerInvariant(), description);
        options.AddTo(command);
        return host.Add(command, Examples, context => RunAsync(context, options, options.Read(context, kind)));
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, BenchOptions options, BenchSettings settings)
    {
        if (options.NewKeyspace(context) is { } wanted)
        {
            await KeyspaceCreation.RunAsync(context, wanted);
        }

        var load = new KvLoad(context.Keyspace(settings.Keyspace), settings.Keys, settings.ValueSize, settings.Level);
        LoadOperation operation = settings.Kind switch
        {
            BenchKind.Put => load.PutAsync,
            BenchKind.Get => load.GetAsync,
            _ => load.MixedAsync,
        };
        if (settings.Kind != BenchKind.Put)
        {
            context.Note(string.Create(CultureInfo.InvariantCulture, $"writing {settings.Keys:N0} keys ..."));
            await load.FillAsync(Math.Max(settings.Concurrency, 64), context.Stop);
        }

        if (settings.WarmUp > TimeSpan.Zero)
        {
            context.Note($"warming up for {Quantities.Describe(settings.WarmUp)} ...");
            await new LoadGenerator(settings.WarmingUp, operation).RunAsync(null, context.Stop);
        }

        var report = await MeasureAsync(context, settings, operation);
        foreach (var line in report.Lines())
        {
            context.Line(line);
        }

        Save(context, report);
        return report.Load switch
        {
            { Done: > 0 } => ExitCode.Ok,
            { UnknownCount: > 0 } => ExitCode.Unknown,
            _ => ExitCode.Refused,
        };

        void Save(CommandContext of, BenchReport measured)
        {
            if (of.Value(options.Csv) is { } csv)
            {
                measured.AppendCsv(csv);
            }

            if (of.Value(options.Hdr) is { } hdr)
            {
                measured.WriteHdr(hdr);
            }
        }
    }

    private static async Task<BenchReport> MeasureAsync(CommandContext context, BenchSettings settings, LoadOperation operation)
    {
        var before = CpuTimes.Read();
        var own = Environment.CpuUsage.TotalTime;
        var load = await new LoadGenerator(settings.Measured, operation).RunAsync(second => context.Note(BenchReport.Line(second)), context.Stop);
        var cpu = Environment.CpuUsage.TotalTime - own;
        (double, double)? machine = before is { } earlier && CpuTimes.Read() is { } now ? now.PercentSince(earlier) : null;
        return new BenchReport(settings, load, cpu, machine);
    }
}

using System.CommandLine;
using KvStore.Cli.Data;
using KvStore.Cli.Keyspaces;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;

namespace KvStore.Cli.Bench;

/// <summary>The options of a benchmark.</summary>
internal sealed class BenchOptions
{
    private readonly Option<string?> _keyspace = DataOptions.Keyspace();

    private readonly Option<bool> _create = new("--create") { Description = "Create the keyspace first, if it does not exist, with --policy, --replication, --shards, --replicas." };

    private readonly KeyspaceSettings _settings = new();

    private readonly Option<int> _concurrency = Count("--concurrency", "Operations in flight.", 64, 65_536, "-c");

    private readonly Option<TimeSpan?> _duration = new("--duration", "-d")
    {
        Description = "How long to measure. Default: 10s.",
        HelpName = "TIME",
        CustomParser = result => Quantities.ParseTime(result, TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(24)),
    };

    private readonly Option<int?> _operations = new("--operations", "-n")
    {
        Description = "How many operations to measure, instead of --duration.",
        HelpName = "N",
        CustomParser = result => Quantities.ParseCount(result, 1, int.MaxValue),
    };

    private readonly Option<int> _keys = Count("--keys", "How many different keys.", 10_000, 100_000_000);

    private readonly Option<int> _valueSize = new("--value-size")
    {
        Description = "Bytes of each value.",
        HelpName = "BYTES",
        DefaultValueFactory = _ => 100,
        CustomParser = result => Quantities.ParseCount(result, 0, KvLimits.MaxValueBytes),
    };

    private readonly Option<KvReadLevel> _level = DataOptions.Level();

    private readonly Option<int?> _rate = new("--rate")
    {
        Description = "Operations per second, whatever the answers do (open loop): latency counts from the moment at which an operation was due.",
        HelpName = "R",
        CustomParser = result => Quantities.ParseCount(result, 1, 10_000_000),
    };

    private readonly Option<TimeSpan?> _warmUp = new("--warm-up")
    {
        Description = "The same load before the measurement, not counted. Default: 2s.",
        HelpName = "TIME",
        CustomParser = result => Quantities.ParseTime(result, TimeSpan.Zero, TimeSpan.FromMinutes(10)),
    };

    public Option<string?> Csv { get; } = new("--csv") { Description = "Append the result to a file as a line of CSV.", HelpName = "FILE" };

    public Option<string?> Hdr { get; } = new("--hdr") { Description = "Write the latency distribution to a file, for HdrHistogram's plotter.", HelpName = "FILE" };

    public void AddTo(Command command)
    {
        foreach (var option in (Option[])[_keyspace, _create, _concurrency, _duration, _operations, _keys, _valueSize, _level, _rate, _warmUp, Csv, Hdr])
        {
            command.Add(option);
        }

        _settings.AddTo(command);
    }

    /// <exception cref="CliFailure">Options contradict each other, or a keyspace is missing.</exception>
    public BenchSettings Read(CommandContext context, BenchKind kind)
    {
        if (context.Value(_duration) is not null && context.Value(_operations) is not null)
        {
            throw CliFailure.Usage("--duration and --operations contradict each other; give one of them.");
        }

        if (!context.Value(_create) && _settings.AnyGiven(context))
        {
            throw CliFailure.Usage("--policy, --replication, --shards and --replicas only matter with --create; add --create or leave them out.");
        }

        return new BenchSettings
        {
            Kind = kind,
            Keyspace = Keyspace(context),
            Concurrency = context.Value(_concurrency),
            Duration = context.Value(_duration) ?? (context.Value(_operations) is null ? BenchSettings.DefaultDuration : null),
            Operations = context.Value(_operations),
            Rate = context.Value(_rate),
            Keys = context.Value(_keys),
            ValueSize = context.Value(_valueSize),
            Level = context.Value(_level),
            WarmUp = context.Value(_warmUp) ?? BenchSettings.DefaultWarmUp,
        };
    }

    /// <summary>The keyspace to create; null without --create.</summary>
    public KvKeyspaceSettings? NewKeyspace(CommandContext context) => context.Value(_create) ? _settings.Read(context, Keyspace(context)) : null;

    private string Keyspace(CommandContext context) =>
        (context.Value(_keyspace) ?? context.Terminal.Environment(DataOptions.KeyspaceVariable)) is { Length: > 0 } name
            ? name
            : throw CliFailure.Usage("No keyspace is named; give one with -k NAME, and --create --policy cp|ap to make it.");

    private static Option<int> Count(string name, string description, int usual, int most, params string[] aliases) => new(name, aliases)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => usual,
        CustomParser = result => Quantities.ParseCount(result, 1, most),
    };
}

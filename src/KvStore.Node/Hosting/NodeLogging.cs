using System.Globalization;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Extensions.Logging;
using Serilog.Formatting.Compact;

namespace KvStore.Node.Hosting;

/// <summary>The one place that knows Serilog: console, as text or as compact JSON. Each node has a logger of its own, because a test process runs several.</summary>
internal static class NodeLogging
{
    private const string Template = "{Timestamp:HH:mm:ss.fff} {Level:u3} n{Node} {Message:lj}{NewLine}{Exception}";

    public static ILoggerFactory Create(NodeOptions options)
    {
        if (options.Loggers is { } given)
        {
            return given;
        }

        LoggerConfiguration configuration = new LoggerConfiguration()
            .MinimumLevel.Is(LevelOf(options.LogLevel))
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)
            // What fails at the start is said once, in one sentence, by the program.
            .MinimumLevel.Override("Microsoft.Extensions.Hosting", LogEventLevel.Fatal)
            .MinimumLevel.Override("Grpc", LogEventLevel.Warning)
            .Enrich.WithProperty("Node", options.NodeId);
        if (options.LogLevel != LogLevel.None)
        {
            configuration = options.LogFormat == LogFormat.Json
                ? configuration.WriteTo.Console(new RenderedCompactJsonFormatter())
                : configuration.WriteTo.Console(outputTemplate: Template, formatProvider: CultureInfo.InvariantCulture);
        }

        Logger logger = configuration.CreateLogger();
        return new SerilogLoggerFactory(logger, dispose: true);
    }

    private static LogEventLevel LevelOf(LogLevel level) => level switch
    {
        LogLevel.Trace => LogEventLevel.Verbose,
        LogLevel.Debug => LogEventLevel.Debug,
        LogLevel.Information => LogEventLevel.Information,
        LogLevel.Warning => LogEventLevel.Warning,
        LogLevel.Error => LogEventLevel.Error,
        _ => LogEventLevel.Fatal,
    };
}

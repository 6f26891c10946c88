using Microsoft.Extensions.Logging;

namespace KvStore.TestKit;

/// <summary>Hands a node's log lines to a test, or drops them.</summary>
internal sealed class LineLoggerFactory(uint node, Action<string>? write) : ILoggerFactory
{
    public ILogger CreateLogger(string categoryName) => new LineLogger(node, categoryName, write);

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public void Dispose()
    {
    }

    private sealed class LineLogger(uint node, string category, Action<string>? write) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => write is not null && logLevel >= LogLevel.Information
            && (category.StartsWith("KvStore", StringComparison.Ordinal) || logLevel >= LogLevel.Error);

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                string line = $"{TimeProvider.System.GetUtcNow():HH:mm:ss.fff} n{node} {logLevel}: {formatter(state, exception)}{(exception is null ? "" : $" ({exception})")}";
                write!(line);
            }
        }
    }
}

using System.Globalization;

namespace KvStore.Client.Hosting;

/// <summary>"http://a:7001,http://b:7001;timeout=5s;attemptTimeout=1s;connectTimeout=500ms": endpoints first, then settings.</summary>
internal static class KvConnectionString
{
    /// <exception cref="FormatException">It can't be read; the message says which part.</exception>
    public static void Apply(string text, KvClientOptions options)
    {
        string[] parts = text.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        foreach (string endpoint in (parts.Length == 0 ? "" : parts[0]).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            options.Endpoints.Add(endpoint.Contains("://", StringComparison.Ordinal) ? endpoint : $"http://{endpoint}");
        }

        foreach (string setting in parts.Skip(1))
        {
            int equals = setting.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? setting : setting[..equals].Trim();
            string value = equals < 0 ? "" : setting[(equals + 1)..].Trim();
            switch (name.ToLowerInvariant())
            {
                case "timeout": options.DefaultTimeout = Duration(name, value); break;
                case "attempttimeout": options.AttemptTimeout = Duration(name, value); break;
                case "connecttimeout": options.ConnectTimeout = Duration(name, value); break;
                default: throw new FormatException($"The connection string has an unknown setting '{name}'; there are timeout, attemptTimeout and connectTimeout.");
            }
        }
    }

    private static TimeSpan Duration(string name, string value)
    {
        (string digits, double unitMs) = value switch
        {
            [.. var number, 'm', 's'] => (number, 1),
            [.. var number, 's'] => (number, 1_000),
            _ => ("", 0),
        };
        return unitMs > 0 && double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double amount)
            ? TimeSpan.FromMilliseconds(amount * unitMs)
            : throw new FormatException($"{name} in the connection string is '{value}': write a duration such as 500ms or 5s.");
    }
}

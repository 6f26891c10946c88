using System.CommandLine;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Output;
using KvStore.Cli.Running;

namespace KvStore.Cli.Cluster;

/// <summary><c>kv endpoint health</c>: asks exactly the endpoints that were given, without learning of others.</summary>
internal static class EndpointCommands
{
    private const string Examples =
        """
        kv endpoint health
        kv endpoint health -e 127.0.0.1:7001 -e 127.0.0.1:7002 --timeout 1s
        """;

    public static Command Create(CommandHost host)
    {
        var format = OutputFormatOption.Create();
        var health = new Command("health", "Ask each endpoint whether it serves. Exit code 4: one does not; 69: one can't be reached.") { format };
        host.Add(health, Examples, async context =>
        {
            var answers = await Task.WhenAll(context.Endpoints.Select(endpoint => AskAsync(endpoint, context)));
            Show(context, context.Value(format), answers);
            return answers.Select(answer => answer.Readiness).Min() switch
            {
                Readiness.Serving => ExitCode.Ok,
                Readiness.NotServing => ExitCode.Refused,
                _ => ExitCode.Unavailable,
            };
        });
        return new Command("endpoint", "Look at single endpoints.") { health };
    }

    private static async Task<EndpointHealth> AskAsync(Uri endpoint, CommandContext context)
    {
        using var probe = new HealthProbe(endpoint);
        var begin = TimeProvider.System.GetTimestamp();
        var (readiness, detail) = await probe.AskAsync(context.Timeout, context.Stop);
        return new EndpointHealth(endpoint.ToString().TrimEnd('/'), readiness, detail, TimeProvider.System.GetElapsedTime(begin));
    }

    private static void Show(CommandContext context, OutputFormat format, EndpointHealth[] answers)
    {
        if (format == OutputFormat.Json)
        {
            JsonOutput.Write(context.Terminal.Out, json =>
            {
                json.WriteStartArray();
                foreach (var answer in answers)
                {
                    json.WriteStartObject();
                    json.WriteString("endpoint", answer.Endpoint);
                    json.WriteBoolean("serving", answer.Readiness == Readiness.Serving);
                    json.WriteString("detail", answer.Detail);
                    json.WriteNumber("tookMs", Math.Round(answer.Took.TotalMilliseconds, 3));
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
            return;
        }

        var table = new TextTable("endpoint", "health", "took");
        foreach (var answer in answers)
        {
            table.Add(answer.Endpoint, answer.Detail, Quantities.Describe(answer.Took));
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }
    }

    private sealed record EndpointHealth(string Endpoint, Readiness Readiness, string Detail, TimeSpan Took);
}

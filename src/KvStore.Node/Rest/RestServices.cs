using KvStore.Node.Loops;
using OpenTelemetry.Metrics;

namespace KvStore.Node.Rest;

/// <summary>What the HTTP face needs of the host: JSON, the OpenAPI document, and the collection of metrics for <c>/metrics</c>.</summary>
internal static class RestServices
{
    public static void Add(IServiceCollection services)
    {
        services.Configure<RouteHandlerOptions>(handlers => handlers.ThrowOnBadRequest = true);
        services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, RestJson.Default);
            json.SerializerOptions.Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping;
        });
        services.AddOpenApi(document => document.AddDocumentTransformer((openApi, _, _) =>
        {
            openApi.Info.Title = "KvStore";
            openApi.Info.Description = "Keys, keyspaces and health of a KvStore cluster. Any node takes any request. Values are raw bodies, versions are ETags.";
            return Task.CompletedTask;
        }));
        services.AddOpenTelemetry().WithMetrics(metrics => metrics
            .AddMeter(NodeMetrics.MeterName)
            .AddMeter("Microsoft.AspNetCore.Server.Kestrel")
            .AddRuntimeInstrumentation()
            .AddPrometheusExporter());
    }
}

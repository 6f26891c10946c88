using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace KvStore.Client.Telemetry;

/// <summary>What the client tells about itself, by OpenTelemetry's database conventions. Keys and values are never recorded. Costs two reads of a flag when nobody listens.</summary>
internal static class ClientTelemetry
{
    public const string Name = "KvStore.Client";

    public static readonly ActivitySource Activities = new(Name);

    private static readonly Meter Meter = new(Name);

    private static readonly Histogram<double> Duration =
        Meter.CreateHistogram<double>("db.client.operation.duration", "s", "From the call to its outcome, all attempts included.");

    public static bool IsMeasured => Duration.Enabled;

    /// <summary>An activity that is not left behind as the caller's current one.</summary>
    public static Activity? Start(string operation, string keyspace)
    {
        if (!Activities.HasListeners())
        {
            return null;
        }

        Activity? current = Activity.Current;
        Activity? started = Activities.StartActivity(operation, ActivityKind.Client);
        Activity.Current = current;
        started?.SetTag("db.system.name", "kvstore").SetTag("db.namespace", keyspace).SetTag("db.operation.name", operation);
        return started;
    }

    public static void Stop(Activity activity, KvCode error)
    {
        if (error != KvCode.None)
        {
            activity.SetTag("error.type", error.ToString()).SetStatus(ActivityStatusCode.Error);
        }

        activity.Stop();
    }

    public static void Record(string operation, string keyspace, TimeSpan elapsed, KvCode error)
    {
        TagList tags = new() { { "db.system.name", "kvstore" }, { "db.namespace", keyspace }, { "db.operation.name", operation } };
        if (error != KvCode.None)
        {
            tags.Add("error.type", error.ToString());
        }

        Duration.Record(elapsed.TotalSeconds, tags);
    }
}

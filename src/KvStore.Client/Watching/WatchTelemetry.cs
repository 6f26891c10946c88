using System.Diagnostics.Metrics;
using KvStore.Client.Telemetry;

namespace KvStore.Client;

/// <summary>What monitoring sees of a client's watches.</summary>
internal static class WatchTelemetry
{
    private static readonly Meter Meter = new(ClientTelemetry.Name);

    private static readonly UpDownCounter<long> Watches = Meter.CreateUpDownCounter<long>("kvstore.client.watches", "{watch}", "Watches that are enumerated at present.");

    private static readonly Counter<long> Resumes = Meter.CreateCounter<long>("kvstore.client.watch.resumes", "{stream}", "Streams that a watch opened after its first, by why the one before had ended.");

    private static readonly Counter<long> Gaps = Meter.CreateCounter<long>("kvstore.client.watch.gaps", "{gap}", "Gaps that watches have told of.");

    public static void OnBegun(string keyspace) => Watches.Add(1, Of(keyspace));

    public static void OnEnded(string keyspace) => Watches.Add(-1, Of(keyspace));

    public static void OnResumed(string keyspace, string reason) => Resumes.Add(1, Of(keyspace), new KeyValuePair<string, object?>("error.type", reason));

    public static void OnGap(string keyspace) => Gaps.Add(1, Of(keyspace));

    private static KeyValuePair<string, object?> Of(string keyspace) => new("db.namespace", keyspace);
}

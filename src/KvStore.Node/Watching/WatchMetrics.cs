using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using KvStore.Node.Loops;

namespace KvStore.Node.Watching;

/// <summary>What monitoring sees of watches.</summary>
internal static class WatchMetrics
{
    private static readonly Meter Meter = new(NodeMetrics.MeterName);

    private static readonly ConcurrentDictionary<WatchHub, byte> Hubs = new();

    private static readonly ObservableGauge<long> Watches = Meter.CreateObservableGauge("kvstore.watches", () => Observe(hub => hub.Open), "{watch}", "Streams that tell of changes at present.");

    private static readonly ObservableGauge<long> Bytes = Meter.CreateObservableGauge("kvstore.watch.window.size", () => Observe(hub => hub.WindowBytes), "By", "Recent changes that this node keeps for watches.");

    private static readonly Counter<long> Ends = Meter.CreateCounter<long>("kvstore.watch.ends", "{watch}", "Watches that this node ended, by reason.");

    public static void Register(WatchHub hub)
    {
        _ = (Watches, Bytes);
        Hubs[hub] = 0;
    }

    public static void Forget(WatchHub hub) => Hubs.TryRemove(hub, out _);

    public static void OnEnded(Contracts.V1.Code code) => Ends.Add(1, new KeyValuePair<string, object?>("code", code.ToString()));

    private static IEnumerable<Measurement<long>> Observe(Func<WatchHub, long> value) => Hubs.Keys.Select(hub => new Measurement<long>(value(hub), new KeyValuePair<string, object?>("node", hub.Self.Value)));
}

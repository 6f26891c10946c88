using KvStore.Cli.Bench.Rig;

namespace KvStore.Cli.Bench.Footprint;

/// <summary>Memory of all nodes together, garbage collected, read several times until it stays.</summary>
/// <param name="ResidentBytes">Resident: the last reading.</param>
/// <param name="HeapBytes">Of it, what lives on the managed heap.</param>
/// <param name="SpreadBytes">How far the last readings of resident memory were apart.</param>
internal readonly record struct SettledMemory(long ResidentBytes, long HeapBytes, long SpreadBytes)
{
    private const int Same = 3;
    private const int MostReadings = 15;

    /// <summary>The readings that count differ by less than this share of the whole.</summary>
    private const double SameWithin = 0.003;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>If it does not stay, the last readings are taken, and the spread says so.</summary>
    public static async Task<SettledMemory> ReadAsync(OwnCluster cluster, CancellationToken stop)
    {
        var resident = new List<long>();
        while (true)
        {
            long heap = 0;
            foreach (var node in cluster.Nodes)
            {
                await InducedCollection.RunAsync(node.Pid, stop);
                heap += await cluster.HeapBytesAsync(node, stop) ?? 0;
            }

            await Task.Delay(Pause, stop);
            resident.Add(cluster.ResidentBytes());
            var last = resident[^Math.Min(Same, resident.Count)..];
            var spread = last.Max() - last.Min();
            if (resident.Count >= Same && (spread < SameWithin * last.Max() || resident.Count == MostReadings))
            {
                return new SettledMemory(last[^1], heap, spread);
            }
        }
    }
}

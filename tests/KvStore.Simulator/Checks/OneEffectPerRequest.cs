using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Every write of a run has a value of its own, so one value under two dots is one request that took effect twice. The log's dot is the version.
/// </summary>
internal sealed class OneEffectPerRequest
{
    private readonly Dictionary<string, Dot> _dots = [];

    /// <summary>Whether some replica or some client has ever had the value.</summary>
    public bool WasSeen(string value) => _dots.ContainsKey(value);

    /// <summary>A client was told the version of the value.</summary>
    public void OnSeen(int key, string value, LogIndex version) => OnSeen(key, value, Dot.OfLog(version));

    /// <summary>A replica holds the value under a dot.</summary>
    public void OnSeen(int key, string value, Dot dot)
    {
        if (!_dots.TryAdd(value, dot) && _dots[value] != dot)
        {
            throw new SimulationFailedException(nameof(OneEffectPerRequest), $"The value {value} of key k{key} was seen as {_dots[value]} and as {dot}.");
        }
    }
}

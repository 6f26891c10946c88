using KvStore.Core.Identity;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Every write of a run has a value of its own, so one value at two versions is one request that took effect twice.
/// </summary>
internal sealed class OneEffectPerRequest
{
    private readonly Dictionary<string, LogIndex> _versions = [];

    /// <summary>Whether some replica or some client has ever had the value.</summary>
    public bool WasSeen(string value) => _versions.ContainsKey(value);

    /// <summary>A replica holds the value, or a client was told its version.</summary>
    public void OnSeen(int key, string value, LogIndex version)
    {
        if (!_versions.TryAdd(value, version) && _versions[value] != version)
        {
            throw new SimulationFailedException(
                nameof(OneEffectPerRequest), $"The value {value} of key k{key} was seen at version {_versions[value].Value} and at {version.Value}.");
        }
    }
}

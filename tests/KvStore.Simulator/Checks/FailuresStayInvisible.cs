using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>A write that its client was told is definitely not done never becomes visible, at any replica (Aerospike 3.99 and Redis-Raft broke this).</summary>
internal sealed class FailuresStayInvisible(OneEffectPerRequest effects)
{
    private readonly HashSet<string> _failed = [];

    public void OnFailed(int key, string value)
    {
        _failed.Add(value);
        if (effects.WasSeen(value))
        {
            Fail(key, value);
        }
    }

    public void OnSeen(int key, string value)
    {
        if (_failed.Contains(value))
        {
            Fail(key, value);
        }
    }

    private static void Fail(int key, string value) =>
        throw new SimulationFailedException(nameof(FailuresStayInvisible), $"The write of {value} to k{key} was reported as definitely not done, and it was seen.");
}

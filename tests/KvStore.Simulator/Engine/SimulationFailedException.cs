namespace KvStore.Simulator.Engine;

/// <summary>The run has shown something that must never happen.</summary>
internal sealed class SimulationFailedException(string what) : Exception(what);

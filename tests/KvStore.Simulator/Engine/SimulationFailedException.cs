namespace KvStore.Simulator.Engine;

/// <summary>The run has shown something that must never happen.</summary>
/// <param name="checker">The name of the check that saw it; part of every report.</param>
/// <param name="what">What it saw, in a sentence.</param>
internal sealed class SimulationFailedException(string checker, string what) : Exception($"[{checker}] {what}")
{
    /// <summary>What answers must be like in themselves, whoever gives them.</summary>
    public const string Answers = "SensibleAnswers";

    /// <summary>The product's own assertions.</summary>
    public const string Invariants = "Invariants";

    /// <summary>After the heal everything that was pending ends and new work is done.</summary>
    public const string Progress = "Progress";

    public string Checker { get; } = checker;
}

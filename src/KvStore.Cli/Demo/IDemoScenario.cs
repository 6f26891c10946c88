using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary>A story that a demo tells on its cluster.</summary>
internal interface IDemoScenario
{
    /// <summary>What clients did where a linearizable history was promised.</summary>
    History OrderedHistory { get; }

    /// <summary>Plays it, and says whether everything that was promised held.</summary>
    Task<bool> RunAsync();
}

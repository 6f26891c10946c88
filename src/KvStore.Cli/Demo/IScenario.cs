using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary>A story that a demo tells and judges. An interface because the command chooses among stories by name.</summary>
internal interface IScenario
{
    /// <summary>What clients of the ordered keyspace did: for a file that can be checked again.</summary>
    History History { get; }

    /// <summary>Plays it, and says whether everything that was promised held.</summary>
    Task<bool> RunAsync();
}

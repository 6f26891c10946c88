namespace KvStore.Cli.Running;

/// <summary>Ends a command with one sentence on stderr and an exit code. The sentence says what is wrong and what to do about it.</summary>
internal sealed class CliFailure(ExitCode code, string sentence) : Exception(sentence)
{
    public ExitCode Code { get; } = code;

    public static CliFailure Usage(string sentence) => new(ExitCode.Usage, sentence);
}

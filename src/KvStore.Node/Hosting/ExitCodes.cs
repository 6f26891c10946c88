namespace KvStore.Node.Hosting;

/// <summary>What the process says when it ends; the numbers of sysexits.h. Supervisors may restart on 70, 74 and 75; the others need a person.</summary>
public static class ExitCodes
{
    /// <summary>Stopped as asked; or, for healthcheck, serving.</summary>
    public const int Ok = 0;

    /// <summary>Only from healthcheck: not serving, or no answer.</summary>
    public const int NotServing = 1;

    /// <summary>A flag, variable or option is wrong; the message says which and what to do.</summary>
    public const int Usage = 64;

    /// <summary>The data directory is another node's or cluster's, of an unknown format, or its log is corrupt.</summary>
    public const int DataDirectory = 65;

    /// <summary>The port can't be listened on.</summary>
    public const int Unavailable = 69;

    /// <summary>A defect of the program.</summary>
    public const int Internal = 70;

    /// <summary>The disk failed while the node ran.</summary>
    public const int InputOutput = 74;

    /// <summary>Something that passes: another process still holds the data directory, or no member answers a node that joins.</summary>
    public const int Temporary = 75;

    /// <summary>The node was removed from its cluster.</summary>
    public const int Removed = 77;
}

/// <summary>The node can't start or go on, for a reason that one sentence explains to its operator.</summary>
public class NodeFailureException(int exitCode, string sentence, Exception? cause = null) : Exception(sentence, cause)
{
    /// <summary>One of <see cref="ExitCodes"/>.</summary>
    public int ExitCode { get; } = exitCode;
}

/// <summary>The address to listen on is taken, not this machine's, or not allowed.</summary>
public sealed class ListenFailedException(string sentence, Exception cause) : NodeFailureException(ExitCodes.Unavailable, sentence, cause);

/// <summary>The options contradict themselves or leave out what is needed.</summary>
public sealed class InvalidOptionsException(IReadOnlyList<string> problems) : NodeFailureException(ExitCodes.Usage, string.Join(Environment.NewLine, problems))
{
    /// <summary>One sentence each, saying what to do.</summary>
    public IReadOnlyList<string> Problems { get; } = problems;
}

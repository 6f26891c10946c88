namespace KvStore.Cli;

/// <summary>How <c>kv</c> ends. Scripts may rely on these numbers; those from 64 on follow sysexits.h.</summary>
public enum ExitCode
{
    /// <summary>Everything asked for was done.</summary>
    Ok = 0,

    /// <summary>It was carried out and the answer is no: a history that is not linearizable, a demo that did not hold, a cluster that did not come up.</summary>
    Failed = 1,

    /// <summary>The key has no value (get, del), or the name is not known (keyspace describe).</summary>
    NotFound = 2,

    /// <summary>The condition of a conditional write did not hold, and nothing was written; the comparisons of a transaction did not, and its else branch was done.</summary>
    ConditionFailed = 3,

    /// <summary>The cluster refused, for now or for good: no quorum, overloaded, level not offered, a node to be replaced that is up; or what answers is no node. Nothing was written.</summary>
    Refused = 4,

    /// <summary>Nobody can say whether the write happened, or the checker ran out of time.</summary>
    Unknown = 5,

    /// <summary>The command line is wrong: flags, values, combinations.</summary>
    Usage = 64,

    /// <summary>A file can't be read.</summary>
    NoInput = 66,

    /// <summary>No endpoint can be reached, or a port is already in use.</summary>
    Unavailable = 69,

    /// <summary>A defect of kv itself.</summary>
    Internal = 70,

    /// <summary>Ended by Ctrl-C or a termination signal before it was done. Where something was being changed, a sentence says that its outcome is unknown.</summary>
    Interrupted = 130,
}

/// <summary>The exit codes as the help prints them.</summary>
internal static class ExitCodeTable
{
    public const string Text =
        """
        Exit codes:
            0  done
            1  carried out, and the answer is no (not linearizable, demo failed, cluster did not start)
            2  not found
            3  the condition did not hold, nothing was written (txn: else was done)
            4  refused or unavailable, nothing was written
            5  outcome unknown
           64  wrong usage
           66  a file can't be read
           69  no endpoint can be reached, or a port is in use
           70  internal error
          130  interrupted; of a change that was under way nobody knows whether it was done
        """;
}

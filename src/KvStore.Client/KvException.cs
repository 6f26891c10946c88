namespace KvStore.Client;

/// <summary>A node whose replica could not be reached when an operation was refused.</summary>
/// <param name="Node">Its id.</param>
/// <param name="For">How long it had not been reached.</param>
public readonly record struct KvMissingReplica(uint Node, TimeSpan For);

/// <summary>An operation failed. The message says why and what to do next; the properties say it to programs.</summary>
public sealed class KvException : Exception
{
    /// <summary>A failure with all that is known about it.</summary>
    public KvException(string message, KvCode code, KvPhase phase, bool outcomeUnknown, uint node = 0, int attempts = 0, Exception? innerException = null)
        : base(message, innerException)
    {
        Code = code;
        Phase = phase;
        OutcomeUnknown = outcomeUnknown;
        Node = node;
        Attempts = attempts;
    }

    /// <summary>Why.</summary>
    public KvCode Code { get; }

    /// <summary>The node that refused or was asked last; 0: none.</summary>
    public uint Node { get; }

    /// <summary>How often it was tried.</summary>
    public int Attempts { get; }

    /// <summary>How far the last attempt came.</summary>
    public KvPhase Phase { get; }

    /// <summary>With <see cref="KvCode.NoQuorum"/>: the nodes with replicas that the one which refused can't reach. Otherwise empty.</summary>
    public IReadOnlyList<KvMissingReplica> Missing { get; init; } = [];

    /// <summary>True for a write that may have happened or may yet happen. False: it had no effect and never will.</summary>
    public bool OutcomeUnknown { get; }
}

namespace KvStore.TestKit.Histories;

/// <summary>What a linearizability check found.</summary>
public enum LinearizabilityVerdict
{
    /// <summary>Every key's operations could have happened one at a time, each between its invocation and its return.</summary>
    Linearizable = 1,

    /// <summary>No such order exists for at least one key.</summary>
    NotLinearizable = 2,

    /// <summary>The limits were reached before an answer was found. Never to be taken for success.</summary>
    Unknown = 3,
}

/// <summary>A verdict and its reasons.</summary>
/// <param name="Verdict">The verdict on the whole history.</param>
/// <param name="Explanation">A sentence or two for people.</param>
public sealed record LinearizabilityResult(LinearizabilityVerdict Verdict, string Explanation)
{
    /// <summary>The key that the verdict is about; null when it is about all of them.</summary>
    public string? Key { get; init; }

    /// <summary>For a key that is not linearizable: the longest order of its operations, from the start, that the search could fit together.</summary>
    public IReadOnlyList<RecordedOperation> LongestPrefix { get; init; } = [];

    /// <summary>For a key that is not linearizable: an operation that had returned and yet fits nowhere behind <see cref="LongestPrefix"/>.</summary>
    public RecordedOperation? Unplaced { get; init; }

    /// <summary>The verdict and its explanation.</summary>
    public override string ToString() => $"{Verdict}: {Explanation}";
}

namespace KvStore.Client;

/// <summary>How a watch begins, and what it tells.</summary>
public sealed record KvWatchOptions
{
    /// <summary>Resume behind the change that this is the <see cref="KvChange{T}.Token"/> of. Null: from now on.</summary>
    public string? FromToken { get; init; }

    /// <summary>Begin with what the keys hold (<see cref="KvChangeKind.Current"/>), then <see cref="KvChangeKind.CaughtUp"/>, then the changes, with nothing missed in between. After a <see cref="KvChangeKind.Gap"/> that is done again.</summary>
    public bool InitialValues { get; init; }

    /// <summary>Tell <see cref="KvChangeKind.Progress"/> too, at the beginning and at least every 15 s, so that the token of a quiet range stays young.</summary>
    public bool TellProgress { get; init; }

    /// <summary>How long the first connection may take; more than zero, at most 10 minutes. Null: <see cref="KvClientOptions.DefaultTimeout"/>. Later ones are tried for ever.</summary>
    public TimeSpan? Timeout { get; init; }
}

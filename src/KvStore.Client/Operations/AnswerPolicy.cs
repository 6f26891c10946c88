using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Client.Operations;

/// <summary>What to do after an answer that is not "done".</summary>
internal enum Verdict
{
    /// <summary>Report it.</summary>
    Report,

    /// <summary>This node can't; another may at once.</summary>
    TryElsewhere,

    /// <summary>This node can't now; pause, then another.</summary>
    PauseThenElsewhere,

    /// <summary>Pause, then try again as before.</summary>
    Pause,

    /// <summary>A minority: ask each other replica once, then report.</summary>
    SeekQuorum,

    /// <summary>The keyspace has changed: learn how, then try again; unless an earlier attempt is unresolved, for which a new epoch can't speak.</summary>
    Relearn,
}

/// <summary>Reads a verdict off an answer.</summary>
internal static class AnswerPolicy
{
    public static Verdict Judge(in WireResult answer) => answer.Code switch
    {
        Code.NotLeader or Code.WrongNode or Code.SessionBehind or Code.TooStale => Verdict.TryElsewhere,
        Code.NoQuorum or Code.ProvisionalRefused or Code.OverlayFull => Verdict.SeekQuorum,
        Code.StaleEpoch => Verdict.Relearn,
        Code.NoLeader or Code.ShuttingDown or Code.Recovering or Code.ClockSkew => Verdict.PauseThenElsewhere,

        // The keyspace is in this client's topology: the node is behind, after a restart or because the keyspace is new.
        Code.UnknownKeyspace => Verdict.PauseThenElsewhere,
        Code.LeadershipLost => Verdict.Pause,
        Code.ConditionFailed => Verdict.Report,
        _ => answer.Retryable ? Verdict.Pause : Verdict.Report,
    };
}

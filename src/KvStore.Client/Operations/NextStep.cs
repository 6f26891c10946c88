using KvStore.Client.Routing;

namespace KvStore.Client.Operations;

internal enum NextStepKind
{
    /// <summary>Choose again at once.</summary>
    Choose,

    /// <summary>Send to <see cref="NextStep.Node"/>.</summary>
    Send,

    /// <summary>Wait until <see cref="KvOperation.WakeAtMs"/>, then choose again.</summary>
    Pause,

    /// <summary>Wait for a topology that knows the keyspace, or until <see cref="KvOperation.WakeAtMs"/>.</summary>
    AwaitTopology,

    /// <summary>The answer at hand is the outcome.</summary>
    Complete,

    /// <summary>Over: refused with <see cref="NextStep.Code"/>, or unknown if an attempt is unresolved.</summary>
    Report,
}

/// <summary>What <see cref="AttemptPlan"/> has decided.</summary>
internal readonly record struct NextStep(NextStepKind Kind, IRoutableNode? Node = null, KvCode Code = KvCode.None, string? Reason = null)
{
    public static readonly NextStep Choose = new(NextStepKind.Choose);

    public static readonly NextStep Pause = new(NextStepKind.Pause);

    public static readonly NextStep AwaitTopology = new(NextStepKind.AwaitTopology);

    public static readonly NextStep Complete = new(NextStepKind.Complete);

    public static NextStep Send(IRoutableNode node) => new(NextStepKind.Send, node);

    public static NextStep Report(KvCode code, string? reason) => new(NextStepKind.Report, Code: code, Reason: reason);
}

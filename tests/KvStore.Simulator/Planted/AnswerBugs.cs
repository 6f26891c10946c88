using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>A leader answers when it has written the entry to its own log.</summary>
internal sealed class AnswerBeforeCommit : PlantedBug
{
    private readonly ProposedWrites _proposed = new();

    public override string Name => "answer-before-commit";

    public override string StandsFor => "A response that is sent before the entry is committed: the write is lost with the leader that took it.";

    public override string ExpectedBy => "AcknowledgedWritesStay";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override void Submit(SimulatedNode node, ref ClientOperation operation) => _proposed.OnSubmit(node, operation);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => _proposed.Over(node, storage);

    public override void Answer(SimulatedNode node, List<Completion> completions) =>
        _proposed.AnswerNow(node, completions, (handle, index) => new Completion { Handle = handle, Outcome = Outcome.Done, OrderedVersion = index, Acknowledgements = 1 });
}

/// <summary>A leader refuses a write that it has proposed.</summary>
internal sealed class RefusedAfterPropose : PlantedBug
{
    private const int Rarity = 20;

    private readonly ProposedWrites _proposed = new();

    public override string Name => "refused-after-propose";

    public override string StandsFor => "A refusal for want of room that is decided after the entry is in the log: a definite failure becomes visible (scenario 44).";

    public override string ExpectedBy => "FailuresStayInvisible, Linearizability";

    public override void Submit(SimulatedNode node, ref ClientOperation operation) => _proposed.OnSubmit(node, operation);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => _proposed.Over(node, storage);

    public override void Answer(SimulatedNode node, List<Completion> completions) =>
        _proposed.AnswerNow(node, completions, (handle, _) => OneIn(Rarity) ? new Completion { Handle = handle, Outcome = Outcome.NotDone, Code = RefusalCode.Overloaded } : null);
}

/// <summary>"Unknown" reaches the client as "not done".</summary>
internal sealed class UnknownAsFailed : PlantedBug
{
    public override string Name => "unknown-as-failed";

    public override string StandsFor => "A lost leadership or a deadline reported as a definite failure, while the entry may still be committed (scenario 44; Redis-Raft).";

    public override string ExpectedBy => "FailuresStayInvisible, Linearizability";

    public override void Answer(SimulatedNode node, List<Completion> completions)
    {
        for (int i = 0; i < completions.Count; i++)
        {
            if (completions[i].Outcome == Outcome.Unknown)
            {
                completions[i] = completions[i] with { Outcome = Outcome.NotDone };
            }
        }
    }
}

/// <summary>Two answers of one step change places.</summary>
internal sealed class AnswersSwapped : PlantedBug
{
    private const int Rarity = 4;

    public override string Name => "answers-swapped";

    public override string StandsFor => "A completion that is delivered for another operation's handle: a pooled object that is used again too early.";

    public override string ExpectedBy => "AcknowledgedWritesStay, OneEffectPerRequest, Linearizability";

    public override void Answer(SimulatedNode node, List<Completion> completions)
    {
        int last = completions.Count - 1;
        if (last > 0 && completions[last].Outcome == Outcome.Done && completions[last - 1].Outcome == Outcome.Done && OneIn(Rarity))
        {
            ulong handle = completions[last].Handle;
            completions[last] = completions[last] with { Handle = completions[last - 1].Handle };
            completions[last - 1] = completions[last - 1] with { Handle = handle };
        }
    }
}

/// <summary>Each attempt of a write is a request of its own.</summary>
internal sealed class RetryUnderNewId : PlantedBug
{
    private ulong _last = 1UL << 63;

    public override string Name => "retry-under-new-id";

    public override string StandsFor => "A client library that draws a new request id for each attempt: a retry takes effect twice (scenario 41).";

    public override string ExpectedBy => "OneEffectPerRequest, Linearizability";

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (!operation.Request.IsNone)
        {
            operation.Request = new RequestId(++_last, 1, 0);
        }
    }
}

using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>What single answers of an ordered shard must not contradict, whatever the order of things elsewhere.</summary>
/// <param name="steps">What is known of the replicas.</param>
internal sealed class AnswerWatch(StepWatch steps)
{
    private readonly FreshReads _fresh = new();

    /// <summary>Whether leaders acknowledge before commit, so that a value can be acknowledged, lost, and applied later at another index.</summary>
    public required bool AcknowledgesEarly { get; init; }

    public void OnDone(OrderedCall call, string? value, LogIndex version, Term term, long nowUs)
    {
        if (!AcknowledgesEarly)
        {
            if (call.Kind != OperationKind.Get)
            {
                steps.Acknowledged.OnAcknowledged(call, version);
            }

            if (value is not null)
            {
                steps.Effects.OnSeen(call.Key, value, version);
            }
        }

        // Followers do not lead, so what they forward counts for nobody's term.
        if (!AcknowledgesEarly || term != Term.Zero)
        {
            _fresh.OnDone(call, call.Kind == OperationKind.Get && value is not null, AcknowledgesEarly ? term : Term.Zero, version, nowUs);
        }
    }

    /// <summary>The client knows for certain that its write was not done.</summary>
    public void OnFailed(OrderedCall call)
    {
        if (call.Kind == OperationKind.Put)
        {
            steps.Failures.OnFailed(call.Key, call.Input!);
        }
    }

    public void OnMismatch(OrderedCall call)
    {
        if (call.Condition == WriteCondition.None)
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"A write without a condition failed a condition: {call}.");
        }

        OnFailed(call);
    }

    public void OnRefusal(OrderedCall call, in Completion answer)
    {
        if (answer.Code is RefusalCode.RequestReused or RefusalCode.InvalidArgument or RefusalCode.LevelNotOffered or RefusalCode.None)
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"{call} was refused as {answer.Code}: {answer.Reason}");
        }
    }

    public void OnExpired(OrderedCall call) =>
        throw new SimulationFailedException(SimulationFailedException.Answers, $"{call} is not finished, and was answered as expired.");
}

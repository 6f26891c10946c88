using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// What single answers of an ordered shard must not contradict: one value stands at one version for ever (so a request has had one effect), and while one leader lasts, nobody reads
/// older than what that leader had acknowledged or shown, in whatever replication mode.
/// </summary>
internal sealed class AnswerWatch
{
    private readonly Dictionary<string, LogIndex> _versions = [];
    private readonly Dictionary<(Term Term, int Key), List<(long EndedUs, LogIndex Version)>> _shown = [];

    /// <summary>Whether leaders acknowledge before commit, so that a value can be acknowledged, lost, and applied later at another index.</summary>
    public required bool AcknowledgesEarly { get; init; }

    public void OnDone(OrderedCall call, string? value, LogIndex version, Term term, long nowUs)
    {
        if (value is not null && !_versions.TryAdd(value, version) && _versions[value] != version && !AcknowledgesEarly)
        {
            throw new SimulationFailedException($"The value {value} of key k{call.Key} was seen at version {_versions[value].Value} and at {version.Value}: {call}.");
        }

        if (term == Term.Zero)
        {
            return;
        }

        if (!_shown.TryGetValue((term, call.Key), out List<(long EndedUs, LogIndex Version)>? shown))
        {
            shown = [];
            _shown.Add((term, call.Key), shown);
        }

        if (call.Kind == OperationKind.Get && value is not null)
        {
            foreach ((long endedUs, LogIndex older) in shown)
            {
                if (endedUs < call.InvokedUs && older > version)
                {
                    throw new SimulationFailedException($"The leader of term {term.Value} showed k{call.Key} at version {version.Value} after it had shown {older.Value}: {call}.");
                }
            }
        }

        if (version > LogIndex.Zero)
        {
            shown.Add((nowUs, version));
        }
    }

    public void OnMismatch(OrderedCall call)
    {
        if (call.Condition == WriteCondition.None)
        {
            throw new SimulationFailedException($"A write without a condition failed a condition: {call}.");
        }
    }

    public void OnRefusal(OrderedCall call, in Completion answer)
    {
        if (answer.Code is RefusalCode.RequestReused or RefusalCode.InvalidArgument or RefusalCode.LevelNotOffered or RefusalCode.None)
        {
            throw new SimulationFailedException($"{call} was refused as {answer.Code}: {answer.Reason}");
        }
    }

    public void OnExpired(OrderedCall call) => throw new SimulationFailedException($"{call} is not finished, and was answered as expired.");
}

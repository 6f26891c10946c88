using KvStore.Core;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// Plays one seed of one scenario: a cluster starts, clients work while faults strike, everything heals, what was pending ends, and the evidence is judged. Start reading here.
/// </summary>
internal static class Simulation
{
    /// <summary>One seed in so many has counters and expiries too.</summary>
    private const ulong TypedSeeds = 3;

    /// <summary>One seed in so many of the scenarios with an ordered shard has transactions too: not those that have counters.</summary>
    private const ulong TransactionSeeds = 3;

    public static SimulationReport Run(ScenarioKind kind, ulong seed, SimulationOptions? options = null)
    {
        options ??= SimulationOptions.Default;
        if (kind == ScenarioKind.Cluster)
        {
            return Clusters.ClusterSimulation.Run(seed, options);
        }

        var seeds = new SeedSource((seed << 1) | (kind == ScenarioKind.Consensus ? 0u : 1u));
        ScenarioSettings settings = ScenarioSettings.Draw(kind, seeds.Next());
        settings = options.Planted?.Adjust(settings) ?? settings;
        settings = settings with { CountsAndExpires = settings.MemoryBytes == 0 && (options.Planted?.WantsCounters ?? (seed % TypedSeeds == 0)) };
        settings = settings with { Transacts = kind is ScenarioKind.Consensus or ScenarioKind.Members && (options.Planted?.WantsTransactions ?? (seed % TransactionSeeds == 1)) };
        settings = settings with { OperationsPerClient = Math.Max(1, settings.OperationsPerClient * options.LoadPercent / 100) };
        IReadOnlyList<Strike> plan = FaultPlan.Draw(settings, settings.WorkUs, seeds.Next());
        var stage = new SimulationStage(settings, seeds, options);
        Exception? found = Play(stage, kind, options.Keep is { } keep ? plan.Where(strike => keep.Contains(strike.Number)) : plan);
        IReadOnlyList<RecordedOperation> operations = stage.Recorder.ToHistory().Operations;
        return new SimulationReport
        {
            Seed = seed,
            Kind = kind,
            Options = options,
            Nodes = settings.Nodes,
            Settings = settings.ToString(),
            Failure = found is SimulationFailedException ? found.Message : found?.ToString(),
            Checker = found switch
            {
                SimulationFailedException seen => seen.Checker,
                InvariantViolationException => SimulationFailedException.Invariants,
                _ => found?.GetType().Name,
            },
            TraceHash = stage.Trace.Hash,
            Operations = operations.Count,
            Done = operations.Count(operation => operation.Outcome == RecordedOutcome.Done),
            VirtualTime = TimeSpan.FromMicroseconds(stage.Timeline.NowUs),
            Events = stage.Timeline.Executed,
            Counts = stage.Trace.Counts,
            Rare = stage.Rare.Fired,
            Strikes = stage.Faults.Struck,
        };
    }

    private static Exception? Play(SimulationStage stage, ScenarioKind kind, IEnumerable<Strike> plan)
    {
        try
        {
            stage.Trace.Say(stage.Settings.ToString);
            stage.StartAll();
            if (kind == ScenarioKind.Consensus)
            {
                var play = new OrderedPlay(stage);
                play.Begin();
                stage.Faults.Begin(plan);
                stage.Timeline.RunUntil(() => play.AreClientsDone, stage.Settings.WorkUs);
                play.HealAndJudge();
            }
            else if (kind == ScenarioKind.Adaptive)
            {
                AdaptivePlay.Play(stage, plan);
            }
            else if (kind == ScenarioKind.Members)
            {
                MembersPlay.Play(stage, plan);
            }
            else if (kind == ScenarioKind.Lww)
            {
                LwwPlay.Play(stage, plan);
            }
            else if (kind == ScenarioKind.Memory)
            {
                MemoryPlay.Play(stage, plan);
            }
            else if (kind is ScenarioKind.Dial or ScenarioKind.DialAdaptive)
            {
                DialPlay.Play(stage, plan);
            }
            else
            {
                OpenPlay.Play(stage, plan);
            }

            return null;
        }
        catch (Exception found) when (found is not OutOfMemoryException)
        {
            stage.Trace.Say(() => "FAILED: " + found);
            stage.Trace.Say(stage.Describe);
            return found;
        }
    }
}

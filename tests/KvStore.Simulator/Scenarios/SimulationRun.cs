using System.Diagnostics;

namespace KvStore.Simulator.Scenarios;

/// <summary>Plays many seeds, every twentieth of them twice, and sums up.</summary>
public sealed class SimulationRun
{
    private const ulong TwiceEvery = 20;

    private readonly SortedDictionary<string, long> _faults = new(StringComparer.Ordinal);
    private readonly Stopwatch _wall = Stopwatch.StartNew();
    private TimeSpan _virtual;
    private long _operations;
    private long _done;
    private long _events;
    private int _twice;

    /// <summary>Seeds played so far.</summary>
    public int Seeds { get; private set; }

    /// <summary>What failed, with how to replay it; empty if all held.</summary>
    public List<string> Failures { get; } = [];

    public TimeSpan Elapsed => _wall.Elapsed;

    public void Play(string scenario, ulong seed)
    {
        var kind = Enum.Parse<ScenarioKind>(scenario, ignoreCase: true);
        SimulationReport report = Simulation.Run(kind, seed);
        Seeds++;
        _virtual += report.VirtualTime;
        _operations += report.Operations;
        _done += report.Done;
        _events += report.Events;
        foreach ((string fault, long count) in report.Faults)
        {
            _faults[fault] = _faults.GetValueOrDefault(fault) + count;
        }

        if (report.Failure is { } failure)
        {
            Failures.Add($"Scenario {scenario}, seed {seed} ({report.Settings}) failed: {failure}{Environment.NewLine}Replay: {report.Replay}");
        }
        else if (seed % TwiceEvery == 0)
        {
            _twice++;
            if (Simulation.Run(kind, seed).TraceHash != report.TraceHash)
            {
                Failures.Add($"Scenario {scenario}, seed {seed} is not deterministic: two runs left different traces.{Environment.NewLine}Replay: {report.Replay}");
            }
        }
    }

    /// <summary>What was run, in a few lines.</summary>
    public override string ToString() =>
        $"{Seeds} seeds ({_twice} of them twice), {_operations} operations ({_done} done), {_events} events, {_virtual.TotalSeconds:0} s of virtual time in {_wall.Elapsed.TotalSeconds:0.0} s "
        + $"({_virtual.TotalSeconds / _wall.Elapsed.TotalSeconds:0} virtual seconds a second).{Environment.NewLine}"
        + $"Faults and events: {string.Join(", ", _faults.Select(fault => $"{fault.Key} {fault.Value}"))}.";
}

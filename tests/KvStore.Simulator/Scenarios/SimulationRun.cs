using System.Diagnostics;
using System.Text;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Scenarios;

/// <summary>Plays many seeds, every twentieth of them twice, and sums up.</summary>
public sealed class SimulationRun
{
    private const ulong TwiceEvery = 20;

    /// <summary>A played seed is garbage as a whole. Left to itself the collector lets it grow to gigabytes, and then stops the process for seconds: in a run of tests that is long enough for the nodes of other tests to take each other for dead.</summary>
    private const long CollectAboveBytes = 512L << 20;

    private readonly SortedDictionary<string, long> _counts = new(StringComparer.Ordinal);
    private readonly long[] _rare = new long[Enum.GetValues<RareBranch>().Length];
    private readonly SortedDictionary<int, (int Seeds, TimeSpan Virtual, TimeSpan Wall)> _bySize = [];
    private readonly Stopwatch _wall = Stopwatch.StartNew();
    private readonly TimeSpan _processorBefore = Environment.CpuUsage.TotalTime;
    private TimeSpan _virtual;
    private long _operations;
    private long _done;
    private long _events;
    private int _twice;

    /// <summary>Seeds played so far.</summary>
    public int Seeds { get; private set; }

    /// <summary>Whether a failing seed is played again with less and less, until only what it takes to fail is left.</summary>
    public bool Shrinks { get; init; }

    /// <summary>What failed, with how to replay it; empty if all held.</summary>
    public List<string> Failures { get; } = [];

    public TimeSpan Elapsed => _wall.Elapsed;

    public void Play(string scenario, ulong seed)
    {
        ScenarioKind kind = ScenarioKinds.ByName[scenario];
        long began = Stopwatch.GetTimestamp();
        SimulationReport report = Simulation.Run(kind, seed);
        Add(report, Stopwatch.GetElapsedTime(began));
        if (GC.GetTotalMemory(forceFullCollection: false) > CollectAboveBytes)
        {
            GC.Collect();
        }

        if (report.Failure is { } failure)
        {
            Failures.Add($"Scenario {scenario}, seed {seed} ({report.Settings}) failed: {failure}{Environment.NewLine}Replay: {report.Replay}{(Shrinks ? Environment.NewLine + Shrinker.Shrink(report) : "")}");
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
    public override string ToString()
    {
        var text = new StringBuilder();
        TimeSpan wall = _wall.Elapsed;
        TimeSpan processor = Environment.CpuUsage.TotalTime - _processorBefore;
        text.AppendLine($"{Seeds} seeds ({_twice} of them twice), {_operations} operations ({_done} done), {_events} events.");
        text.AppendLine(
            $"{_virtual.TotalHours:0.00} hours of virtual time in {wall.TotalSeconds:0.0} s ({processor.TotalSeconds:0.0} s of processor time): "
            + $"{_virtual / wall:0} virtual seconds a second, {_virtual / processor:0} a processor second.");
        text.AppendLine("By cluster size: " + string.Join(", ", _bySize.Select(size => $"{size.Key} nodes: {size.Value.Seeds} seeds at {size.Value.Virtual / size.Value.Wall:0} virtual seconds a second")) + ".");
        text.AppendLine("Faults and events: " + string.Join(", ", _counts.Select(count => $"{count.Key} {count.Value}")) + ".");
        IEnumerable<RareBranch> points = Enum.GetValues<RareBranch>();
        text.AppendLine("Rare branches: " + string.Join(", ", points.Where(point => _rare[(int)point] > 0).Select(point => $"{point} {_rare[(int)point]}")) + ".");
        text.Append("Never met: " + string.Join(", ", points.Where(point => _rare[(int)point] == 0).Select(point => point.ToString()).DefaultIfEmpty("none")) + ".");
        return text.ToString();
    }

    private void Add(SimulationReport report, TimeSpan wall)
    {
        Seeds++;
        _virtual += report.VirtualTime;
        _operations += report.Operations;
        _done += report.Done;
        _events += report.Events;
        (int seeds, TimeSpan time, TimeSpan took) = _bySize.GetValueOrDefault(report.Nodes);
        _bySize[report.Nodes] = (seeds + 1, time + report.VirtualTime, took + wall);
        foreach ((string fault, long count) in report.Counts)
        {
            _counts[fault] = _counts.GetValueOrDefault(fault) + count;
        }

        for (int point = 0; point < _rare.Length; point++)
        {
            _rare[point] += report.Rare[point];
        }
    }
}

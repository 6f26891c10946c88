using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Checks;

/// <summary>
/// What clients were told of counters and of keys that expire.
/// <list type="bullet">
/// <item>Counters: in the end within [acknowledged, acknowledged + unknown], on every replica. In an ordered shard each acknowledged increment has a value of its own, between all that was acknowledged before it began and
/// all that had begun when it ended.</item>
/// <item>Nothing expires early: a read that finds nothing, while a put that it must see is within its time to live, and no other put could have followed it and expired.</item>
/// </list>
/// </summary>
internal sealed class TypedLedger(SimulationStage stage)
{
    private const string ExactCounters = "ExactCounters";
    private const string NothingExpiresEarly = "NothingExpiresEarly";

    public const int Counters = 2;

    public const int ExpiringKeys = 2;

    public const ulong TtlMs = 1_500;

    /// <summary>Ticks, clocks that count whole milliseconds.</summary>
    private const long ToleranceUs = 2_000;

    private static readonly string[] ClockFaults = [nameof(FaultKind.WallStep), nameof(FaultKind.WallStrobe), nameof(FaultKind.TimerDrift)];

    private readonly Dictionary<string, List<Entry>> _entries = [];

    internal enum Fate
    {
        Open,
        Done,
        NotDone,
    }

    /// <summary>One operation.</summary>
    internal sealed class Entry
    {
        public required string Key { get; init; }

        public required OperationKind Kind { get; init; }

        public required long BeganUs { get; init; }

        public long Delta { get; init; }

        public string Value { get; init; } = "";

        public long EndedUs { get; set; } = long.MaxValue;

        public long Result { get; set; }

        /// <summary>On fewer than two replicas: a quorum need not know it.</summary>
        public bool IsThin { get; set; }

        /// <summary>Open: on fewer replicas than a majority, so that a read of a quorum elsewhere need not meet it.</summary>
        public bool IsDegraded { get; set; }

        public Fate Fate { get; set; }
    }

    /// <summary>Whether a fault has made a clock go wrong so far: expiries may be off then.</summary>
    public bool ClocksWereWrong => ClockFaults.Any(stage.Trace.Counts.ContainsKey);

    private bool IsOrdered => !stage.Settings.IsOpen;

    /// <summary>Whether an acknowledged write may be lost by what this seed does. What a removed replica alone had acknowledged, in async or best-effort, goes with it: it may not know yet that it was removed.</summary>
    private bool MayLose => stage.Settings.IsOpen
        && ((stage.Settings.Mode.Replication == Replication.BestEffort && stage.Faults.Crashed)
            || stage.Settings.MayWipe
            || (stage.Settings.Spares > 0 && stage.Settings.Mode.Replication != Replication.Sync));

    public static string CounterKey(int counter) => $"n{counter}";

    public static string ExpiringKey(int key) => $"t{key}";

    public static bool IsExpiringKey(Key key) => Enumerable.Range(0, ExpiringKeys).Any(i => key.Equals(Key.FromText(ExpiringKey(i))));

    public Entry Count(string key, long delta) => Add(new Entry { Key = key, Kind = OperationKind.Increment, BeganUs = stage.Timeline.NowUs, Delta = delta });

    public Entry Put(string key, string value) => Add(new Entry { Key = key, Kind = OperationKind.Put, BeganUs = stage.Timeline.NowUs, Value = value });

    public Entry Read(string key) => new() { Key = key, Kind = OperationKind.Get, BeganUs = stage.Timeline.NowUs };

    public void Done(Entry entry, long counter, string? value, bool thin, bool degraded = false)
    {
        entry.Fate = Fate.Done;
        entry.EndedUs = stage.Timeline.NowUs;
        entry.Result = counter;
        entry.IsThin = thin;
        entry.IsDegraded = degraded;
        switch (entry.Kind)
        {
            case OperationKind.Increment:
                CheckResult(entry);
                break;
            case OperationKind.Get when value is null:
                CheckAbsence(entry);
                break;
            case OperationKind.Get:
                CheckValue(entry, value[..value.IndexOf('.')]);
                break;
            default:
                break;
        }
    }

    public void NotDone(Entry entry)
    {
        entry.Fate = Fate.NotDone;
        entry.EndedUs = stage.Timeline.NowUs;
    }

    public static void CheckRefusal(Entry entry, in Completion answer)
    {
        if (answer.Code is RefusalCode.WrongType or RefusalCode.InvalidArgument or RefusalCode.LevelNotOffered or RefusalCode.RequestReused)
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"{entry.Kind} of {entry.Key} was refused as {answer.Code}: {answer.Reason}");
        }
    }

    /// <summary>At the end, when the replicas are equal.</summary>
    public void CheckEnd(string key, long value)
    {
        List<Entry> all = _entries.GetValueOrDefault(key) ?? [];
        long acknowledged = all.Where(entry => entry.Fate == Fate.Done).Sum(entry => entry.Delta);
        long unknown = all.Where(entry => entry.Fate == Fate.Open).Sum(entry => entry.Delta);
        bool low = value < acknowledged && !MayLose;
        bool high = value > acknowledged + unknown && !stage.Settings.MayWipe;
        if (low || high)
        {
            throw new SimulationFailedException(ExactCounters, $"In the end {key} is {value}; {acknowledged} were acknowledged and {unknown} are unknown.");
        }
    }

    private void CheckResult(Entry entry)
    {
        if (stage.Settings.MayWipe)
        {
            return;
        }

        List<Entry> all = _entries[entry.Key];
        long atMost = all.Where(other => other.Fate != Fate.NotDone).Sum(other => other.Delta);
        if (entry.Result > atMost)
        {
            throw new SimulationFailedException(ExactCounters, $"An increment of {entry.Key} came to {entry.Result}; only {atMost} were ever added.");
        }

        if (!IsOrdered)
        {
            return;
        }

        long atLeast = entry.Delta + all.Where(other => other.Fate == Fate.Done && other.EndedUs < entry.BeganUs).Sum(other => other.Delta);
        if (entry.Result < atLeast)
        {
            throw new SimulationFailedException(ExactCounters, $"An increment of {entry.Key} by {entry.Delta} came to {entry.Result}; at least {atLeast} had been acknowledged with it.");
        }

        if (all.Any(other => other != entry && other.Fate == Fate.Done && other.Result == entry.Result))
        {
            throw new SimulationFailedException(ExactCounters, $"Two increments of {entry.Key} came to {entry.Result}.");
        }
    }

    private void CheckAbsence(Entry read)
    {
        bool isPromised = stage.Settings.Mode.Replication == Replication.Sync && !stage.Settings.MayWipe && !ClocksWereWrong;
        if (!isPromised || !_entries.TryGetValue(read.Key, out List<Entry>? puts))
        {
            return;
        }

        foreach (Entry put in puts.Where(put => put.Fate == Fate.Done && put.EndedUs < read.BeganUs && (IsOrdered || !(put.IsThin || put.IsDegraded))))
        {
            // The same time to live everywhere: another put may have followed and be over only if it began earlier.
            bool maybeOver = puts.Any(other => other.Fate != Fate.NotDone && other.EndedUs >= put.BeganUs && EndsUs(other) - ToleranceUs <= read.EndedUs);
            if (!maybeOver)
            {
                throw new SimulationFailedException(
                    NothingExpiresEarly, $"{put.Key} was put as {put.Value} at {put.BeganUs / 1_000} ms to live for {TtlMs} ms, and not found at {read.EndedUs / 1_000} ms.");
            }
        }
    }

    private void CheckValue(Entry read, string value)
    {
        if (!_entries.TryGetValue(read.Key, out List<Entry>? puts) || !puts.Exists(put => put.Value == value))
        {
            throw new SimulationFailedException(NothingExpiresEarly, $"{read.Key} was read as {value}, which nobody has put.");
        }
    }

    private Entry Add(Entry entry)
    {
        if (!_entries.TryGetValue(entry.Key, out List<Entry>? all))
        {
            _entries.Add(entry.Key, all = []);
        }

        all.Add(entry);
        return entry;
    }

    private static long EndsUs(Entry put) => put.BeganUs + ((long)TtlMs * 1_000);
}

using System.Globalization;
using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// What clients were told of transactions: transfers between the accounts of a bank, and appends to two lists at a time. The log index that every answer carries is a claim of one order; the ledger plays the transactions again
/// in that order, on a model of its own, and demands that
/// <list type="bullet">
/// <item>each had the branch and read the values and versions that it was told;</item>
/// <item>what ended before another began stands before it (so the order is a linearization);</item>
/// <item>the bank's money is constant at every step, and each append stands in both of its lists or in none;</item>
/// <item>what was refused for certain is never seen, and what was done is seen in the end.</item>
/// </list>
/// A transaction whose fate is unknown gets its place from the version under which somebody has read what it wrote: every write of this load is conditional on the record that it replaces, so none is replaced without
/// having been read.
/// </summary>
internal sealed class TransactionLedger(Timeline timeline)
{
    public const string Name = "TransactionsLinearizable";

    public const int Accounts = 4;

    public const int Lists = 2;

    public const int FirstBalance = 100;

    private readonly List<Entry> _entries = [];

    internal enum Fate
    {
        Open,
        Done,
        NotDone,
    }

    /// <summary>One transaction.</summary>
    internal sealed class Entry
    {
        public required int Id { get; init; }

        public required long BeganUs { get; init; }

        public required Transaction Asked { get; set; }

        public long EndedUs { get; set; } = long.MaxValue;

        public Fate Fate { get; set; }

        public LogIndex Index { get; set; }

        public TransactionAnswer? Answer { get; set; }

        public override string ToString() => $"transaction {Id}{(Index == LogIndex.Zero ? "" : $" at {Index.Value}")} ({Fate}{(Answer is { } answer ? answer.Held ? ", then" : ", otherwise" : "")})";
    }

    public static Key Account(int number) => Key.FromText($"{{t}}b{number}");

    public static Key List(int number) => Key.FromText($"{{t}}l{number}");

    public static IEnumerable<Key> Keys => Enumerable.Range(0, Accounts).Select(Account).Concat(Enumerable.Range(0, Lists).Select(List));

    /// <summary>A balance, and who wrote it. A point ends what the values of all clients have to say: other checks read up to it.</summary>
    public static string Balance(int amount, int writer) => $"{amount}#{writer}.";

    public static int AmountOf(string balance) => int.Parse(balance.AsSpan(0, balance.IndexOf('#')), CultureInfo.InvariantCulture);

    /// <summary>The writers of a list so far, and one more.</summary>
    public static string Append(string? list, int writer) => list is null ? $"{writer}." : $"{list[..^1]},{writer}.";

    /// <summary>A new transaction: its number goes into what it writes.</summary>
    public Entry Begin()
    {
        var entry = new Entry { Id = _entries.Count + 1, BeganUs = timeline.NowUs, Asked = new Transaction([], [], []) };
        _entries.Add(entry);
        return entry;
    }

    public void Done(Entry entry, TransactionAnswer? answer, LogIndex version)
    {
        IReadOnlyList<TransactionStep> branch = answer?.Held == false ? entry.Asked.Otherwise : entry.Asked.Then;
        if (answer is null || answer.Steps.Count != branch.Count || version == LogIndex.Zero)
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"{entry} was answered as done without its branch, its results or its version.");
        }

        (entry.Fate, entry.EndedUs, entry.Index, entry.Answer) = (Fate.Done, timeline.NowUs, version, answer);
    }

    public void NotDone(Entry entry) => (entry.Fate, entry.EndedUs) = (Fate.NotDone, timeline.NowUs);

    public static void CheckRefusal(Entry entry, RefusalCode code, string? reason)
    {
        if (code is RefusalCode.WrongType or RefusalCode.InvalidArgument or RefusalCode.LevelNotOffered or RefusalCode.RequestReused or RefusalCode.TooLarge or RefusalCode.ConditionFailed)
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"{entry} was refused as {code}: {reason}");
        }
    }

    /// <summary>Once everything has ended, the last transaction has read all keys.</summary>
    public void CheckEnd()
    {
        PlaceUnknown();
        var state = new Dictionary<Key, (string Value, LogIndex Index)>();
        long newestBeganUs = long.MinValue;
        LogIndex last = LogIndex.Zero;
        foreach (Entry entry in _entries.Where(entry => entry.Index > LogIndex.Zero).OrderBy(entry => entry.Index))
        {
            Demand(entry.Index > last, entry, "stands at the same index as another");
            Demand(entry.EndedUs >= newestBeganUs, entry, "ended before one began that stands in front of it");
            (last, newestBeganUs) = (entry.Index, Math.Max(newestBeganUs, entry.BeganUs));
            Play(entry, state);
        }
    }

    private static void Demand(bool holds, Entry entry, string otherwise)
    {
        if (!holds)
        {
            throw new SimulationFailedException(Name, $"{entry} {otherwise}.");
        }
    }

    private static string TextOf(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);

    private static int WriterOf(string value) => int.Parse(value.AsSpan(value.LastIndexOfAny(['#', ',']) + 1)[..^1], CultureInfo.InvariantCulture);

    private static IReadOnlyList<TransactionStep> BranchOf(Entry entry) => entry.Answer?.Held == false ? entry.Asked.Otherwise : entry.Asked.Then;

    /// <summary>Whoever wrote a value that was read has taken effect, at the version that it was read with.</summary>
    private void PlaceUnknown()
    {
        foreach (Entry reader in _entries.Where(entry => entry.Fate == Fate.Done))
        {
            foreach (StepAnswer step in reader.Answer!.Steps.Where(step => step.Found))
            {
                Entry writer = _entries[WriterOf(TextOf(step.Value)) - 1];
                Demand(KvStateMachine.TryReadVersion(step.Version.Span, out LogIndex version), reader, "has read a value without a version");
                Demand(writer.Fate != Fate.NotDone, writer, "was refused for certain, and yet is seen");
                if (writer.Index == LogIndex.Zero)
                {
                    writer.Index = version;
                }

                Demand(writer.Index == version && writer.Answer?.Held != false, writer, $"has written {TextOf(step.Value)} at {version.Value} by what {reader} was told");
            }
        }
    }

    private static void Play(Entry entry, Dictionary<Key, (string Value, LogIndex Index)> state)
    {
        bool holds = entry.Asked.Comparisons.All(comparison => Holds(comparison, state));
        Demand(holds == (entry.Answer?.Held ?? true), entry, $"took the wrong branch: {string.Join(", ", entry.Asked.Comparisons.Select(comparison => $"{comparison.Kind} {comparison.Key} {Show(state, comparison.Key)}"))}");
        IReadOnlyList<TransactionStep> branch = BranchOf(entry);
        for (int i = 0; i < branch.Count; i++)
        {
            TransactionStep step = branch[i];
            if (step.Kind == OperationKind.Put)
            {
                state[step.Key] = (TextOf(step.Value), entry.Index);
            }
            else if (entry.Answer is { } answer)
            {
                string? read = answer.Steps[i].Found ? $"{TextOf(answer.Steps[i].Value)} of {IndexOf(answer.Steps[i])}" : "nothing";
                Demand(read == Show(state, step.Key), entry, $"has read {read} under {step.Key}, where there was {Show(state, step.Key)}");
            }
        }

        if (Enumerable.Range(0, Accounts).All(number => state.ContainsKey(Account(number))))
        {
            int total = Enumerable.Range(0, Accounts).Sum(number => AmountOf(state[Account(number)].Value));
            Demand(total == Accounts * FirstBalance, entry, $"leaves {total} in the bank");
        }

        Demand(state.GetValueOrDefault(List(0)).Value == state.GetValueOrDefault(List(1)).Value, entry, "leaves an append in one of its lists only");
    }

    private static bool Holds(in Comparison comparison, Dictionary<Key, (string Value, LogIndex Index)> state)
    {
        bool exists = state.TryGetValue(comparison.Key, out (string Value, LogIndex Index) current);
        return comparison.Kind switch
        {
            ComparisonKind.Exists => exists,
            ComparisonKind.Absent => !exists,
            ComparisonKind.VersionIs => exists && KvStateMachine.TryReadVersion(comparison.Operand.Span, out LogIndex version) && version == current.Index,
            _ => exists && current.Value == TextOf(comparison.Operand),
        };
    }

    private static ulong IndexOf(in StepAnswer step) => KvStateMachine.TryReadVersion(step.Version.Span, out LogIndex version) ? version.Value : 0;

    private static string Show(Dictionary<Key, (string Value, LogIndex Index)> state, Key key) => state.TryGetValue(key, out (string Value, LogIndex Index) current) ? $"{current.Value} of {current.Index.Value}" : "nothing";
}

using System.Runtime.InteropServices;

namespace KvStore.Simulator.Engine;

/// <summary>The fingerprint of a run: the same seed must give the same one. With a writer, also one line for each event.</summary>
internal sealed class EventTrace(Timeline timeline, TextWriter? lines)
{
    private const ulong FnvPrime = 0x0000_0100_0000_01B3;

    private readonly Dictionary<string, long> _counts = new(StringComparer.Ordinal);

    public ulong Hash { get; private set; } = 0xCBF2_9CE4_8422_2325;

    /// <summary>Whether somebody reads along. Lines that cost something to make are worth it only then.</summary>
    public bool IsRead => lines is not null;

    /// <summary>How many faults and notable events of each kind there were, in order of their names.</summary>
    public IReadOnlyDictionary<string, long> Counts => new SortedDictionary<string, long>(_counts, StringComparer.Ordinal);

    public void Add(string what, int node, ulong a = 0, ulong b = 0)
    {
        foreach (char letter in what)
        {
            Mix(letter);
        }

        Mix((ulong)timeline.NowUs);
        Mix((ulong)node);
        Mix(a);
        Mix(b);
        lines?.WriteLine($"{timeline.NowUs / 1_000.0,12:0.000} ms  n{node + 1}  {what} {a} {b}");
    }

    public void Fault(string kind, int node, ulong detail = 0)
    {
        Add("FAULT " + kind, node, detail);
        Count(kind);
    }

    public void Count(string kind) => CollectionsMarshal.GetValueRefOrAddDefault(_counts, kind, out _)++;

    /// <summary>For people only; no part of the fingerprint.</summary>
    public void Say(Func<string> line) => lines?.WriteLine($"{timeline.NowUs / 1_000.0,12:0.000} ms      {line()}");

    private void Mix(ulong value) => Hash = (Hash ^ value) * FnvPrime ^ (Hash >> 29);
}

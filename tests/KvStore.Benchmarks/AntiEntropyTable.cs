using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Benchmarks;

/// <summary>
/// The table of docs/replication.md: what it costs two replicas to become equal again, by how much they differ, against copying everything; and what metadata is left.
/// <c>anti-entropy [keys]</c>, 1,000,000 keys of 16 bytes with values of 100 bytes if nothing is said.
/// </summary>
internal static class AntiEntropyTable
{
    private const int ValueBytes = 100;
    private const int WrittenKeyBytes = 16;

    public static int Run(string[] arguments, TextWriter output)
    {
        int keys = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 1_000_000;
        if (keys is < 1_000 or > 10_000_000)
        {
            output.WriteLine("anti-entropy [keys]: 1,000 to 10,000,000 keys.");
            return 2;
        }

        MachineLoad before = MachineLoad.Now();
        var pair = new DottedPair(maxIndexedDots: 2 * keys);
        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < keys; i++)
        {
            DottedPair.Write(i % 2 == 0 ? pair.One : pair.Other, KeyOf(i), ValueOf(i, 0), i % 2 == 0 ? pair.Other : pair.One);
        }

        pair.Heal();
        output.WriteLine($"{keys:N0} keys written at two replicas in turn and pushed to the other: {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s. Two replicas in one process, no network, no disk.");
        output.WriteLine();
        output.WriteLine("| what differs | messages | bytes | bytes a key | time |");
        output.WriteLine("|---|---|---|---|---|");
        foreach (int differing in ((int[])[0, 1, 1_000, 100_000]).Where(count => count <= keys))
        {
            Differ(pair, keys, differing);
            Measure(output, differing == 0 ? "nothing" : $"{differing:N0} {(differing == 1 ? "key" : "keys")}", pair, differing, pair.Heal);
            Expect(pair);
        }

        Measure(output, "everything (full copy of an empty replica)", pair, keys, pair.CopyAnew);
        pair.Heal();
        Expect(pair);
        output.WriteLine();
        Describe(output, "after convergence", pair.One, keys);
        began = Stopwatch.GetTimestamp();
        for (int i = 0; i < keys; i++)
        {
            DottedPair.Write(pair.One, KeyOf(i), null, pair.Other);
        }

        pair.Heal();
        Expect(pair);
        Describe(output, $"after {keys:N0} deletes ({Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s)", pair.One, keys);
        Describe(output, "the other replica", pair.Other, keys);
        output.WriteLine(MachineLoad.Now().Since(before));
        return 0;
    }

    /// <summary>Each side writes half of the keys, and nothing gets through.</summary>
    private static void Differ(DottedPair pair, int keys, int differing)
    {
        int stride = differing == 0 ? 1 : keys / differing;
        for (int i = 0; i < differing; i++)
        {
            DottedPair.Write(i % 2 == 0 ? pair.One : pair.Other, KeyOf(i * stride), ValueOf(i, differing), null);
        }
    }

    private static void Measure(TextWriter output, string what, DottedPair pair, int differing, Action act)
    {
        GC.Collect();
        (long bytes, int messages) = (pair.Bytes, pair.Messages);
        long began = Stopwatch.GetTimestamp();
        act();
        TimeSpan took = Stopwatch.GetElapsedTime(began);
        bytes = pair.Bytes - bytes;
        output.WriteLine($"| {what} | {pair.Messages - messages:N0} | {bytes:N0} | {(differing == 0 ? "-" : $"{(double)bytes / differing:0}")} | {took.TotalMilliseconds:N1} ms |");
    }

    private static void Expect(DottedPair pair)
    {
        if (!pair.One.Replica.Clock.Equals(pair.Other.Replica.Clock) || pair.One.View.Count != pair.Other.View.Count || pair.One.Replica.IndexedDots + pair.Other.Replica.IndexedDots > 0)
        {
            throw new InvalidOperationException("The replicas are not equal after healing.");
        }
    }

    private static void Describe(TextWriter output, string when, DottedPair.Side side, int keys)
    {
        long stored = 0, values = 0, context = 0;
        foreach (ReadOnlyMemory<byte> record in side.View.Values)
        {
            DottedObject found = DottedObject.Decode(record);
            stored += record.Length;
            context += found.Context.Count;
            foreach (DottedValue value in found.Values)
            {
                values += value.Value.Length;
            }
        }

        var state = new ArrayBufferWriter<byte>();
        side.Replica.WriteState(state);
        int records = side.View.Count;
        output.WriteLine(
            $"Metadata {when}: {records:N0} records of {keys:N0} keys, {(records == 0 ? 0 : (double)(stored - values) / records):0.0} bytes a record beside key and value, {context} context entries, "
            + $"{side.Replica.IndexedDots} dot keys, {side.Replica.UncoveredContexts} waiting contexts, {state.WrittenCount} bytes for the clock of {side.Replica.Clock.ActorCount} actors and the watermarks.");
    }

    private static Key KeyOf(int number) => Key.FromText(number.ToString($"D{WrittenKeyBytes}", CultureInfo.InvariantCulture));

    private static byte[] ValueOf(int number, int round) => Encoding.UTF8.GetBytes($"{number}-{round}".PadRight(ValueBytes, 'x'));
}

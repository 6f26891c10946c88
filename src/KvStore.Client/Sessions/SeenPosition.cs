using System.Buffers;

namespace KvStore.Client.Sessions;

/// <summary>
/// What a session has seen of one shard, as nodes encode it: format, epoch, places in the log by term, and for each writer the counters that were seen (a base and runs above it). The client joins positions and
/// leaves out what nodes have left out; it never makes one up. A test holds it to the nodes' own codec.
/// </summary>
internal sealed class SeenPosition
{
    private const byte Format = 1;

    private ulong _epoch;
    private readonly SortedDictionary<ulong, ulong> _log = [];
    private readonly SortedDictionary<ulong, Run[]> _writers = [];

    private SeenPosition()
    {
    }

    /// <summary>A session that has seen nothing: format, epoch 0, no terms, no writers.</summary>
    public static ReadOnlyMemory<byte> Empty { get; } = new byte[] { Format, 0, 0, 0 };

    /// <exception cref="FormatException">The bytes are no position.</exception>
    public static SeenPosition Read(ReadOnlySpan<byte> bytes)
    {
        SeenPosition position = new();
        PositionReader reader = new(bytes);
        if (reader.Next() != Format)
        {
            throw new FormatException("The session position has a format that this client does not know.");
        }

        position._epoch = reader.Next();
        for (ulong terms = reader.Count(); terms > 0; terms--)
        {
            position._log[reader.Next()] = reader.Next();
        }

        for (ulong writers = reader.Count(); writers > 0; writers--)
        {
            ulong writer = reader.Next();
            position._writers[writer] = ReadRuns(ref reader);
        }

        return position;
    }

    /// <summary>
    /// What was seen with an answer: the join of both, without what the answering node has left out of what it was sent, because every replica has it or the answer vouches for it.
    /// </summary>
    /// <param name="sent">What the operation said.</param>
    /// <param name="answered">What its answer said.</param>
    public void Learn(SeenPosition sent, SeenPosition answered)
    {
        _epoch = Math.Max(_epoch, answered._epoch);
        foreach ((ulong term, ulong index) in sent._log)
        {
            if (!answered._log.ContainsKey(term) && _log.GetValueOrDefault(term) == index)
            {
                _log.Remove(term);
            }
        }

        foreach ((ulong writer, Run[] runs) in sent._writers)
        {
            if (!answered._writers.ContainsKey(writer) && _writers.TryGetValue(writer, out Run[]? mine) && mine.AsSpan().SequenceEqual(runs))
            {
                _writers.Remove(writer);
            }
        }

        foreach ((ulong term, ulong index) in answered._log)
        {
            _log[term] = Math.Max(_log.GetValueOrDefault(term), index);
        }

        foreach ((ulong writer, Run[] runs) in answered._writers)
        {
            _writers[writer] = _writers.TryGetValue(writer, out Run[]? mine) ? Union(mine, runs) : runs;
        }
    }

    public byte[] ToBytes()
    {
        ArrayBufferWriter<byte> output = new(64);
        Write(output, Format);
        Write(output, _epoch);
        Write(output, (ulong)_log.Count);
        foreach ((ulong term, ulong index) in _log)
        {
            Write(output, term);
            Write(output, index);
        }

        Write(output, (ulong)_writers.Count);
        foreach ((ulong writer, Run[] runs) in _writers)
        {
            Write(output, writer);
            WriteRuns(output, runs);
        }

        return output.WrittenSpan.ToArray();
    }

    /// <summary>The counters as runs from 1, sorted, apart from each other: the base is the run that begins at 1.</summary>
    private static Run[] ReadRuns(ref PositionReader reader)
    {
        List<Run> runs = [];
        ulong previous = reader.Next();
        if (previous > 0)
        {
            runs.Add(new Run(1, previous));
        }

        for (ulong count = reader.Count(); count > 0; count--)
        {
            ulong from = previous + reader.Next();
            previous = from + reader.Next();
            runs.Add(new Run(from, previous));
        }

        return [.. runs];
    }

    private static void WriteRuns(ArrayBufferWriter<byte> output, Run[] runs)
    {
        int based = runs.Length > 0 && runs[0].From == 1 ? 1 : 0;
        ulong previous = based == 1 ? runs[0].To : 0;
        Write(output, previous);
        Write(output, (ulong)(runs.Length - based));
        foreach (Run run in runs.AsSpan(based))
        {
            Write(output, run.From - previous);
            Write(output, run.To - run.From);
            previous = run.To;
        }
    }

    private static Run[] Union(Run[] a, Run[] b)
    {
        List<Run> union = [];
        foreach (Run run in a.Concat(b).OrderBy(run => run.From))
        {
            if (union.Count > 0 && run.From <= union[^1].To + 1)
            {
                union[^1] = new Run(union[^1].From, Math.Max(union[^1].To, run.To));
            }
            else
            {
                union.Add(run);
            }
        }

        return [.. union];
    }

    private static void Write(ArrayBufferWriter<byte> output, ulong value)
    {
        const int MaxLength = 10;
        Span<byte> span = output.GetSpan(MaxLength);
        int length = 0;
        for (; value >= 0x80; value >>= 7)
        {
            span[length++] = (byte)(value | 0x80);
        }

        span[length++] = (byte)value;
        output.Advance(length);
    }

    /// <summary>The counters <paramref name="From"/> to <paramref name="To"/>, both included.</summary>
    private readonly record struct Run(ulong From, ulong To);

    private ref struct PositionReader(ReadOnlySpan<byte> bytes)
    {
        private readonly ReadOnlySpan<byte> _bytes = bytes;
        private int _at;

        public ulong Next()
        {
            ulong value = 0;
            for (int shift = 0; shift < 70; shift += 7)
            {
                if (_at == _bytes.Length)
                {
                    break;
                }

                byte next = _bytes[_at++];
                value |= (ulong)(next & 0x7F) << shift;
                if (next < 0x80)
                {
                    return value;
                }
            }

            throw new FormatException("The session position is cut off.");
        }

        /// <summary>A count of items that take at least two bytes each.</summary>
        public ulong Count()
        {
            ulong count = Next();
            return count <= (ulong)(_bytes.Length - _at) / 2 ? count : throw new FormatException("The session position is cut off.");
        }
    }
}

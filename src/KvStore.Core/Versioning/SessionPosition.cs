using System.Buffers;
using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>A place in a shard's log: the entry at the index, if it is of the term.</summary>
public readonly record struct LogPlace(Term Term, LogIndex Index);

/// <summary>
/// What one session has seen of one shard: places in its log, and dots of its replicas. A shard that changes its regime, or serves provisionally, leaves both kinds behind, so one position can hold both. Immutable.
/// Positions form a join semilattice: <see cref="Join"/> is commutative, associative and idempotent, and never forgets what either side saw.
/// </summary>
/// <remarks>
/// The log part is a vector with the terms as its actors: per term the highest index that was seen. A leader of a term appends in order, so whoever has an entry of a term has those before it. It holds
/// more than one term only where the answers of two leaders met without one having been checked against the other: then a failover may have replaced what the older one had acknowledged, and the
/// newer place does not vouch for it.
/// </remarks>
public sealed class SessionPosition : IEquatable<SessionPosition>
{
    /// <summary>First byte of the encoding.</summary>
    public const byte Format = 0x01;

    /// <summary>More bytes than this are refused: an honest position needs a hundred, and up to a few thousand while a peer is away for long.</summary>
    public const int MaxBytes = 4_096;

    /// <summary>Terms at one time: that many leaders would have to answer calls of one session that were under way together.</summary>
    public const int MaxTerms = 32;

    public static readonly SessionPosition Empty = new(new Epoch(0), [], new ShardClock());

    private readonly LogPlace[] _log;

    private SessionPosition(Epoch epoch, LogPlace[] log, ShardClock seen)
    {
        Epoch = epoch;
        _log = log;
        Seen = seen;
    }

    /// <summary>The highest epoch in which the shard answered. Zero: it never did.</summary>
    public Epoch Epoch { get; }

    /// <summary>By term, one place for each.</summary>
    public ReadOnlySpan<LogPlace> Log => _log;

    /// <summary>The dots of replicas. Not to be changed.</summary>
    public ShardClock Seen { get; }

    public static SessionPosition OfLog(Epoch epoch, Term term, LogIndex index) => new(epoch, index == LogIndex.Zero ? [] : [new LogPlace(term, index)], Empty.Seen);

    /// <param name="epoch">Of the answer.</param>
    /// <param name="seen">Taken over: the caller must not change it any more.</param>
    public static SessionPosition OfDots(Epoch epoch, ShardClock seen) => new(epoch, [], seen);

    /// <summary>The least position that has seen all that both have.</summary>
    public SessionPosition Join(SessionPosition other)
    {
        if (ReferenceEquals(this, Empty))
        {
            return other;
        }

        ShardClock seen = Seen;
        if (!seen.Includes(other.Seen))
        {
            seen = Seen.Clone();
            seen.Join(other.Seen);
        }

        return new SessionPosition(Epoch > other.Epoch ? Epoch : other.Epoch, JoinLogs(_log, other._log), seen);
    }

    /// <summary>This position with only the dots that the clock does not include.</summary>
    public SessionPosition Beyond(ShardClock everywhere) => new(Epoch, _log, Seen.RowsBeyond(everywhere));

    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.WriteByte(output, Format);
        VarInt.Write(output, Epoch.Value);
        VarInt.Write(output, (ulong)_log.Length);
        foreach (LogPlace place in _log)
        {
            VarInt.Write(output, place.Term.Value);
            VarInt.Write(output, place.Index.Value);
        }

        Seen.Encode(output);
    }

    public byte[] ToBytes()
    {
        var output = new ArrayBufferWriter<byte>(64);
        Encode(output);
        return output.WrittenSpan.ToArray();
    }

    /// <exception cref="MalformedRecordException">The bytes are no position. They came from a client: answer that the argument is invalid.</exception>
    public static SessionPosition Decode(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length > MaxBytes)
        {
            MalformedRecordException.Throw("a session position is too long");
        }

        BinaryCursor input = new(bytes);
        if (input.ReadByte() != Format)
        {
            MalformedRecordException.Throw("a session position has an unknown format");
        }

        var epoch = new Epoch(input.ReadVarInt());
        LogPlace[] log = new LogPlace[input.ReadCount(2)];
        if (log.Length > MaxTerms)
        {
            MalformedRecordException.Throw("a session position names too many terms");
        }

        for (int i = 0; i < log.Length; i++)
        {
            log[i] = new LogPlace(new Term(input.ReadVarInt()), new LogIndex(input.ReadCounter()));
            if (i > 0 && log[i - 1].Term >= log[i].Term)
            {
                MalformedRecordException.Throw("a session position is not sorted");
            }
        }

        ShardClock seen = ShardClock.Decode(ref input);
        input.ExpectEnd();
        return new SessionPosition(epoch, log, seen);
    }

    public bool Equals(SessionPosition? other) => other is not null && Epoch == other.Epoch && _log.AsSpan().SequenceEqual(other._log) && Seen.Equals(other.Seen);

    public override bool Equals(object? obj) => Equals(obj as SessionPosition);

    public override int GetHashCode() => ((int)Epoch.Value * 31) + _log.Length;

    public override string ToString() => $"{Epoch} log [{string.Join(' ', _log.Select(place => $"{place.Term}:{place.Index}"))}] dots [{Seen}]";

    private static LogPlace[] JoinLogs(LogPlace[] a, LogPlace[] b)
    {
        if (a.Length == 0 || b.Length == 0)
        {
            return a.Length == 0 ? b : a;
        }

        var joined = new List<LogPlace>(a.Length + b.Length);
        int i = 0, j = 0;
        while (i < a.Length || j < b.Length)
        {
            if (j == b.Length || (i < a.Length && a[i].Term < b[j].Term))
            {
                joined.Add(a[i++]);
            }
            else if (i == a.Length || b[j].Term < a[i].Term)
            {
                joined.Add(b[j++]);
            }
            else
            {
                joined.Add(a[i].Index >= b[j].Index ? a[i] : b[j]);
                i++;
                j++;
            }
        }

        return [.. joined];
    }
}

using System.Buffers.Binary;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>What the state machine remembers of one applied request.</summary>
internal readonly record struct RememberedResult(uint PayloadHash, RefusalCode Code, LogIndex Version, bool Known, long Counter = 0)
{
    public static readonly RememberedResult Absent;

    /// <summary>Of a transaction: an encoded <see cref="Transactions.TransactionAnswer"/>.</summary>
    public byte[]? Answer { get; init; }
}

/// <summary>
/// The results of one client session above its acknowledged floor: a ring over sequence numbers. It grows with what the client has in flight, not with what it has done.
/// </summary>
/// <param name="session">The client's session.</param>
/// <param name="answers">The answers of all sessions that are remembered whole: a part of them is this one's.</param>
internal sealed class SessionWindow(ulong session, RememberedAnswers answers)
{
    /// <summary>Sequence numbers above the floor that are remembered. A client keeps fewer than this unfinished.</summary>
    public const int MaxSpan = 4_096;

    private const int BytesPerResult = 8 + 4 + 1 + 8;

    /// <summary>Added to the code where the counter's value (8 bytes) follows.</summary>
    private const byte HasCounter = 0x80;

    /// <summary>Added to the code where the length of a transaction's answer (4 bytes) and the answer follow.</summary>
    private const byte HasAnswer = 0x40;

    private RememberedResult[] _ring = new RememberedResult[16];

    public ulong Session { get; } = session;

    /// <summary>Changed since the last seal.</summary>
    public bool IsDirty { get; set; }

    /// <summary>Requests at or below this are forgotten.</summary>
    public ulong Floor { get; private set; }

    /// <summary>The hybrid timestamp of the newest request, to find idle sessions.</summary>
    public ulong LastUsed { get; private set; }

    public RememberedResult Find(ulong sequence)
    {
        Invariant.Assert(sequence > Floor);
        return sequence - Floor > (ulong)_ring.Length ? RememberedResult.Absent : _ring[Slot(sequence)];
    }

    /// <summary>Moves the floor up. It never moves down: an older request may arrive late.</summary>
    public void Raise(ulong floor)
    {
        if (floor <= Floor)
        {
            return;
        }

        if (floor - Floor >= (ulong)_ring.Length)
        {
            Release();
            Array.Clear(_ring);
        }
        else
        {
            for (ulong sequence = Floor + 1; sequence <= floor; sequence++)
            {
                answers.Remove(_ring[Slot(sequence)]);
                _ring[Slot(sequence)] = RememberedResult.Absent;
            }
        }

        Floor = floor;
    }

    /// <summary>Remembers a result. False when the sequence number lies too far above the floor.</summary>
    public bool TryRemember(ulong sequence, in RememberedResult result, ulong timestamp)
    {
        Invariant.Assert(sequence > Floor);
        ulong span = sequence - Floor;
        if (span > MaxSpan)
        {
            return false;
        }

        if (span > (ulong)_ring.Length)
        {
            Grow((int)span);
        }

        answers.Remove(_ring[Slot(sequence)]);
        answers.Add(result, this, sequence);
        _ring[Slot(sequence)] = result with { Known = true };
        LastUsed = Math.Max(LastUsed, timestamp);
        return true;
    }

    /// <summary>There was no room for what was answered. A retry is told so, and not done again.</summary>
    public void ForgetAnswer(ulong sequence)
    {
        ref RememberedResult result = ref _ring[Slot(sequence)];
        answers.Remove(result);
        result = result with { Code = RefusalCode.RequestExpired, Answer = null };
    }

    /// <summary>The window goes, or all that is in it.</summary>
    public void Release()
    {
        foreach (ref readonly RememberedResult result in _ring.AsSpan())
        {
            answers.Remove(result);
        }
    }

    public byte[] Encode()
    {
        int size = 16;
        foreach (RememberedResult result in _ring)
        {
            size += result.Known ? SizeOf(result) : 0;
        }

        byte[] bytes = new byte[size];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, Floor);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(8), LastUsed);
        int at = 16;
        for (ulong sequence = Floor + 1; sequence <= Floor + (ulong)_ring.Length; sequence++)
        {
            RememberedResult result = _ring[Slot(sequence)];
            if (result.Known)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), sequence);
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at + 8), result.PayloadHash);
                bytes[at + 12] = (byte)result.Code;
                BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at + 13), result.Version.Value);
                if (result.Counter != 0)
                {
                    bytes[at + 12] |= HasCounter;
                    BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(at + BytesPerResult), result.Counter);
                }

                if (result.Answer is { } answer)
                {
                    int start = at + SizeOf(result) - answer.Length;
                    bytes[at + 12] |= HasAnswer;
                    BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(start - sizeof(int)), answer.Length);
                    answer.CopyTo(bytes, start);
                }

                at += SizeOf(result);
            }
        }

        return bytes;
    }

    public static SessionWindow Decode(ulong session, ReadOnlySpan<byte> bytes, RememberedAnswers answers)
    {
        Invariant.Assert(bytes.Length >= 16, "a session record has its head");
        var window = new SessionWindow(session, answers) { Floor = BinaryPrimitives.ReadUInt64LittleEndian(bytes) };
        ulong lastUsed = BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]);
        ReadOnlySpan<byte> rest = bytes[16..];
        while (rest.Length > 0)
        {
            bool counted = rest.Length >= BytesPerResult && (rest[12] & HasCounter) != 0;
            Invariant.Assert(rest.Length >= BytesPerResult + (counted ? sizeof(long) : 0), "a session record has whole results");
            RememberedResult result = new(
                BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]),
                (RefusalCode)(rest[12] & ~(HasCounter | HasAnswer)),
                new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(rest[13..])),
                Known: true,
                counted ? BinaryPrimitives.ReadInt64LittleEndian(rest[BytesPerResult..]) : 0);
            result = result with { Answer = ReadAnswer(rest, counted) };
            Invariant.Assert(window.TryRemember(BinaryPrimitives.ReadUInt64LittleEndian(rest), result, lastUsed), "a stored session fits its window");
            rest = rest[SizeOf(result)..];
        }

        window.LastUsed = lastUsed;
        return window;
    }

    private static int SizeOf(in RememberedResult result) => BytesPerResult + (result.Counter != 0 ? sizeof(long) : 0) + (result.Answer is { } answer ? sizeof(int) + answer.Length : 0);

    private static byte[]? ReadAnswer(ReadOnlySpan<byte> result, bool counted)
    {
        if ((result[12] & HasAnswer) == 0)
        {
            return null;
        }

        ReadOnlySpan<byte> rest = result[(BytesPerResult + (counted ? sizeof(long) : 0))..];
        Invariant.Assert(rest.Length >= sizeof(int) && BinaryPrimitives.ReadInt32LittleEndian(rest) is >= 0 and var length && length <= rest.Length - sizeof(int), "a session record has whole answers");
        return rest.Slice(sizeof(int), BinaryPrimitives.ReadInt32LittleEndian(rest)).ToArray();
    }

    private int Slot(ulong sequence) => (int)(sequence & (ulong)(_ring.Length - 1));

    private void Grow(int span)
    {
        int length = _ring.Length;
        while (length < span)
        {
            length *= 2;
        }

        RememberedResult[] old = _ring;
        _ring = new RememberedResult[length];
        for (ulong sequence = Floor + 1; sequence <= Floor + (ulong)old.Length; sequence++)
        {
            RememberedResult result = old[(int)(sequence & (ulong)(old.Length - 1))];
            if (result.Known)
            {
                _ring[Slot(sequence)] = result;
            }
        }
    }
}

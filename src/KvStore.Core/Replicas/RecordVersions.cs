using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Which version a stored record is of its key, in the ordered regime; and versions as clients carry them.</summary>
internal sealed class RecordVersions(RegimeState regimes)
{
    /// <summary>Bytes of an ordered version.</summary>
    public const int OrderedLength = 9;

    /// <summary>First byte of an ordered key's version; versions of open shards begin with <see cref="ObjectVersion.Format"/>.</summary>
    private const byte OrderedTag = 0x11;

    /// <summary>The version as clients carry it: a tag and the log index.</summary>
    public static byte[] Encode(LogIndex index)
    {
        byte[] version = new byte[OrderedLength];
        Write(version, index);
        return version;
    }

    public static void Write(Span<byte> target, LogIndex index)
    {
        target[0] = OrderedTag;
        BinaryPrimitives.WriteUInt64BigEndian(target[1..], index.Value);
    }

    public static bool TryRead(ReadOnlySpan<byte> version, out LogIndex index)
    {
        bool ok = version.Length == OrderedLength && version[0] == OrderedTag;
        index = ok ? new LogIndex(BinaryPrimitives.ReadUInt64BigEndian(version[1..])) : LogIndex.Zero;
        return ok && index > LogIndex.Zero;
    }

    /// <summary>
    /// The version that a condition names, in either form: that of an ordered record is an index; that of a record which an open period or a merge left behind says in its context which version it was.
    /// It depends on the bytes alone: a request that is sent again must be known again, wherever and whenever that is.
    /// </summary>
    /// <exception cref="MalformedRecordException">The bytes are no version.</exception>
    public static LogIndex ReadExpected(ReadOnlyMemory<byte> version)
    {
        if (TryRead(version.Span, out LogIndex index))
        {
            return index;
        }

        return new LogIndex(ObjectVersion.Decode(version).Context[ActorId.Log]);
    }

    /// <summary>Whether the log has all that a version names. False: it has no such state of any key, because the version names writes that are not in it yet.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no version.</exception>
    public bool HasAccountedFor(ReadOnlyMemory<byte> version)
    {
        if (TryRead(version.Span, out _))
        {
            return true;
        }

        foreach (Dot dot in ObjectVersion.Decode(version).LiveDots)
        {
            if (!dot.Actor.IsLog && !regimes.Accounted.Clock.Covers(dot))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The version of such a record, as clients carry it: it serves for conditions, and as the context of a write when the shard is open again.</summary>
    public ReadOnlyMemory<byte> Encode(DottedObject stored) =>
        OpenReads.EncodeVersion(stored.Fill(regimes.Accounted.Clock.BaseVector).Fill(VersionVector.Of(Dot.OfLog(VersionOf(stored, regimes.Current.Since)))));

    /// <summary>
    /// The version of a stored record; zero if there is no value. What an open period left behind has as its version the index at which the shard was ordered: nothing has touched it since.
    /// </summary>
    public LogIndex VersionOf(ReadOnlyMemory<byte> record) => VersionOf(record, regimes.Current.Since);

    /// <param name="record">As stored; empty: there is none.</param>
    /// <param name="since">The index at which the shard was ordered last; zero: it always was.</param>
    public static LogIndex VersionOf(ReadOnlyMemory<byte> record, LogIndex since)
    {
        if (record.IsEmpty)
        {
            return LogIndex.Zero;
        }

        if (OrderedRecord.IsOrdered(record.Span))
        {
            return OrderedRecord.Decode(record).Index;
        }

        DottedObject stored = DottedObject.Decode(record);
        return stored.IsEmpty ? LogIndex.Zero : VersionOf(stored, since);
    }

    /// <summary>
    /// A function of the live dots and of what the log has done since the order, never of how a record came to be stored: a replica that copied what the log had written holds it as an object.
    /// </summary>
    public static LogIndex VersionOf(DottedObject stored, LogIndex since) => stored.Values is [{ Dot: { Actor.IsLog: true } dot }]
        ? new LogIndex(dot.Counter)
        : LogIndex.Max(new LogIndex(stored.Context[ActorId.Log]), since);
}

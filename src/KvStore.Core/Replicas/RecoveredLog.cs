using System.Buffers.Binary;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Turns the log records that storage found after a restart into what a RaftNode starts from.</summary>
internal static class RecoveredLog
{
    private const int HardStateBytes = 16;

    public static byte[] EncodeHardState(in HardState state)
    {
        byte[] payload = new byte[HardStateBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(payload, state.Vote.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(payload.AsSpan(8), state.Commit.Value);
        return payload;
    }

    public static RaftRecoveredState Read(RecoveredReplica recovered)
    {
        var entries = new List<Entry>();
        HardState hardState = default;
        LogIndex snapshot = LogIndex.Zero;
        foreach (RecoveredRecord record in recovered.Records)
        {
            switch (record.Kind)
            {
                case LogRecordKind.HardState:
                    Invariant.Assert(record.Payload.Length == HardStateBytes, "a hard state record is whole");
                    hardState = new HardState(
                        record.Term,
                        new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(record.Payload.Span)),
                        new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(record.Payload.Span[8..])));
                    break;
                case LogRecordKind.SnapshotInstalled when record.Index != snapshot:
                    // Every entry before it is void, whatever its index. Later copies of the same record, carried into new segments, say nothing new.
                    snapshot = record.Index;
                    entries.Clear();
                    break;
                case LogRecordKind.Entry:
                    Add(entries, record);
                    break;
                default:
                    break;
            }
        }

        return Compose(recovered.Position, hardState, entries);
    }

    /// <summary>A later record replaces the one with its index and all above. A gap can only be where the view had run ahead of a lost tail; what lies before it is of no use.</summary>
    private static void Add(List<Entry> entries, in RecoveredRecord record)
    {
        if (entries.Count > 0)
        {
            LogIndex last = entries[^1].Index;
            if (record.Index > last.Next)
            {
                entries.Clear();
            }
            else if (record.Index <= last)
            {
                ulong keep = record.Index >= entries[0].Index ? record.Index - entries[0].Index : 0;
                entries.RemoveRange((int)keep, entries.Count - (int)keep);
            }
        }

        entries.Add(new Entry(record.Term, record.Index, KindOf(record.Payload.Span), record.Payload));
    }

    /// <summary>Payloads of commands begin below <see cref="MembershipEntry.FirstByte"/>; none at all is a leader's empty entry.</summary>
    private static EntryKind KindOf(ReadOnlySpan<byte> payload) =>
        payload.Length == 0 ? EntryKind.Empty : payload[0] >= MembershipEntry.FirstByte ? EntryKind.Configuration : EntryKind.Data;

    private static RaftRecoveredState Compose(in ViewPosition position, HardState hardState, List<Entry> entries)
    {
        LogIndex boundary = position.Applied;
        Term boundaryTerm = position.AppliedTerm;
        if (entries.Count > 0 && entries[^1].Index < position.Applied)
        {
            // The view was flushed ahead of entries whose sync was lost: they are committed elsewhere, and the view holds their effect.
            entries.Clear();
        }
        else if (entries.Count > 0 && entries[0].Index <= position.Applied)
        {
            Entry atApplied = entries[(int)(position.Applied - entries[0].Index)];
            if (atApplied.Term == position.AppliedTerm)
            {
                boundary = entries[0].Index;
                boundaryTerm = entries[0].Term;
                entries.RemoveAt(0);
            }
            else
            {
                // An overwritten tail whose replacement was lost, while the view already held the replacement.
                entries.Clear();
            }
        }

        Invariant.Assert(entries.Count == 0 || entries[0].Index == boundary.Next, "the log continues where the view stands: no record is missing between them");
        Term lastTerm = entries.Count > 0 ? entries[^1].Term : boundaryTerm;
        if (hardState.Term < lastTerm)
        {
            hardState = new HardState(lastTerm, default, hardState.Commit);
        }

        LogIndex lastIndex = entries.Count > 0 ? entries[^1].Index : boundary;
        LogIndex commit = LogIndex.Max(position.Applied, LogIndex.Min(hardState.Commit, lastIndex));
        return new RaftRecoveredState
        {
            HardState = hardState with { Commit = commit },
            BoundaryIndex = boundary,
            BoundaryTerm = boundaryTerm,
            Entries = entries.ToArray(),
            Applied = position.Applied,
        };
    }
}

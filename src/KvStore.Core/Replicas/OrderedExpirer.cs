using System.Buffers;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Expires the keys of an ordered shard. The leader proposes an entry that names exactly the record that has expired; only when that is applied is the value gone. So what a linearizable read shows is decided by
/// the log: a value may be seen a little longer than its time to live, never shorter, whoever leads. A leader whose clock is behind only expires later.
/// </summary>
internal sealed class OrderedExpirer(RegimeState regimes, RegimeSwitch switcher, ExpiryIndex expiries, ExpiryScan scan, IReplicaStorage storage, RecordLoader loader, ReplicaClock clock, RaftNode raft)
{
    /// <summary>Keys that one tick looks at: 5,000 a second.</summary>
    private const int MaxPerTick = 128;

    /// <summary>A key whose entry was proposed, or that a follower does not expire, is looked at again after so long: the entry may be lost with the leadership.</summary>
    private const int LookAgainMs = 1_000;

    /// <summary>The wall clock may be set forward meanwhile.</summary>
    private const ulong LongestWaitMs = 60_000;

    private readonly ArrayBufferWriter<byte> _dots = new(64);

    /// <summary>The group of an open shard, or of one that is closing, orders no data, and so expires none.</summary>
    private bool Orders => regimes.Current.Kind == RegimeKind.Ordered;

    /// <summary>A leader with a change of regime ahead of it takes no data, expiries neither.</summary>
    private bool MayPropose => Orders && raft.State == RaftRole.Leader && !switcher.HoldsData && !switcher.IsLate;

    /// <summary>Nothing has to be looked at before a time that is still to come.</summary>
    public bool IsQuiet => !Orders || scan.IsIdle;

    public void OnTick()
    {
        if (!Orders)
        {
            return;
        }

        scan.OnTick();
        for (int looked = 0; looked < MaxPerTick && expiries.TryPeek(out Key key); looked++)
        {
            expiries.LookAgain(key.Span, LookAgainMs);
            if (MayPropose)
            {
                Look(key);
            }
        }
    }

    /// <summary>A write that depends on what the key holds is about to be proposed: what has expired goes first.</summary>
    public void ExpireBefore(ReadOnlySpan<byte> key)
    {
        if (expiries.Count > 0 && expiries.MayHaveExpired(key) && storage.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record) == RecordLookup.Found)
        {
            Propose(key, record);
        }
    }

    private void Look(Key key)
    {
        switch (storage.Find(RecordSpace.Data, key.Span, out ReadOnlyMemory<byte> record))
        {
            case RecordLookup.Found:
                Propose(key.Span, record);
                break;
            case RecordLookup.NotResident:
                loader.Load(RecordSpace.Data, key.Span, () => LookAtLoaded(key));
                break;
            default:
                expiries.Remove(key.Span);
                break;
        }
    }

    private void LookAtLoaded(Key key)
    {
        if (MayPropose && storage.Find(RecordSpace.Data, key.Span, out ReadOnlyMemory<byte> record) == RecordLookup.Found)
        {
            Propose(key.Span, record);
        }
    }

    private void Propose(ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        HybridTimestamp now = clock.Hybrid.Now((long)clock.WallMs);
        ulong nowMs = (ulong)now.PhysicalMs;
        _dots.ResetWrittenCount();
        LogIndex index = LogIndex.Zero;
        ulong expiresMs;
        if (OrderedRecord.IsOrdered(record.Span))
        {
            OrderedRecord held = OrderedRecord.Decode(record);
            (index, expiresMs) = (held.Index, held.ExpiresMs);
        }
        else
        {
            DottedObject held = DottedObject.Decode(record);
            expiresMs = held.NextExpiryMs;
            foreach (ref readonly DottedValue value in held.Values)
            {
                if (!held.AliveAt(nowMs).Holds(value.Dot))
                {
                    VarInt.WriteDot(_dots, value.Dot);
                }
            }
        }

        if (expiresMs == 0)
        {
            expiries.Remove(key);
        }
        else if (expiresMs <= nowMs)
        {
            byte[] entry = new byte[WriteCommand.SizeOf(key.Length, _dots.WrittenCount)];
            WriteCommand.EncodeExpiry(entry, key, index, _dots.WrittenSpan, now.Packed, regimes.Epoch);
            raft.Propose(entry, out _, out _);
        }
        else
        {
            expiries.LookAgain(key, (long)Math.Min(expiresMs - nowMs, LongestWaitMs));
        }
    }
}

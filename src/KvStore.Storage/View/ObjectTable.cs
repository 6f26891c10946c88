using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Tables;

namespace KvStore.Storage.View;

internal enum SlotState : byte
{
    Free = 0,

    /// <summary>A load is on its way.</summary>
    Unknown = 1,

    Present = 2,

    /// <summary>Known not to exist: removed, or looked for on the disk and not found.</summary>
    Absent = 3,
}

/// <summary>One key of the table. <see cref="Slice"/> is the last slice that changed it: until that one is written, the slot is dirty and must stay.</summary>
internal struct TableSlot
{
    public byte[]? Key;
    public ReadOnlyMemory<byte> Record;
    public long Slice;
    public int SliceEntry;
    public int Hash;
    public ushort Loads;
    public byte Chances;
    public SlotState State;
}

/// <summary>
/// One replica's records in memory: read cache and write-behind buffer in one. Slots in small blocks, so that growing never copies records, found by a <see cref="SlotIndex"/>; eviction by second chance
/// (CLOCK; Corbato 1968). Used by one loop only.
/// </summary>
internal sealed class ObjectTable
{
    /// <summary>What a slot costs beside its key and record: the slot, two array headers, cells of the index.</summary>
    public const int OverheadBytes = 136;

    private const int None = -1;
    private const byte UsedChances = 1;
    private const byte LoadedChances = 3;

    private readonly SlotIndex _index = new();
    private readonly SlotBlocks<TableSlot> _slots = new();
    private int _hand;

    /// <summary>Slots in use.</summary>
    public int Count => _index.Count;

    public long Bytes { get; private set; }

    /// <summary>Every record of the view is in here, so a key that is not is absent.</summary>
    public bool IsComplete { get; private set; } = true;

    public ref TableSlot At(int slot) => ref _slots.At(slot);

    public void MarkIncomplete() => IsComplete = false;

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record)
    {
        record = default;
        var index = IndexOf(space, key, HashOf(space, key));
        if (index == None)
        {
            return IsComplete ? RecordLookup.Absent : RecordLookup.NotResident;
        }

        ref var slot = ref At(index);
        if (slot.State == SlotState.Unknown)
        {
            return RecordLookup.NotResident;
        }

        if (slot.Chances == 0)
        {
            slot.Chances = UsedChances;
        }

        if (slot.State == SlotState.Absent)
        {
            return RecordLookup.Absent;
        }

        record = slot.Record;
        return RecordLookup.Found;
    }

    /// <summary>One step of <see cref="IReplicaStorage.Warm"/>.</summary>
    public int Warm(RecordSpace space, int keyHash, WarmStep step)
    {
        var index = _index.Guess(HashOf(space, keyHash));
        if (index == None || step == WarmStep.Index)
        {
            return index;
        }

        ref var slot = ref At(index);
        if (step == WarmStep.Slot)
        {
            return slot.Chances;
        }

        return (slot.Key is [var first, ..] ? first : 0) + (slot.Record.IsEmpty ? 0 : slot.Record.Span[0]);
    }

    /// <summary>Sets or removes a record in memory and returns its slot. The caller notes the slice.</summary>
    public int Set(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record, SlotState state)
    {
        var hash = HashOf(space, key);
        var index = IndexOf(space, key, hash);
        if (index == None)
        {
            index = Add(ViewKeys.TableKey(space, key), hash);
        }

        ref var slot = ref At(index);
        Bytes += record.Length - slot.Record.Length;
        slot.Record = record;
        slot.State = state;
        slot.Chances = UsedChances;
        return index;
    }

    /// <summary>Holds the key's slot until <see cref="EndLoad"/>, so that an answer of the disk can't overtake a newer put.</summary>
    public byte[] BeginLoad(RecordSpace space, ReadOnlySpan<byte> key)
    {
        var hash = HashOf(space, key);
        var index = IndexOf(space, key, hash);
        if (index == None)
        {
            index = Add(ViewKeys.TableKey(space, key), hash);
            At(index).State = IsComplete ? SlotState.Absent : SlotState.Unknown;
        }

        ref var slot = ref At(index);
        slot.Loads++;
        return slot.Key!;
    }

    public void EndLoad(byte[] tableKey, byte[]? record)
    {
        var space = (RecordSpace)tableKey[0];
        var index = IndexOf(space, tableKey.AsSpan(1), HashOf(space, tableKey.AsSpan(1)));
        if (index == None)
        {
            return;
        }

        ref var slot = ref At(index);
        if (slot.Loads > 0)
        {
            slot.Loads--;
        }

        if (slot.State == SlotState.Unknown)
        {
            slot.State = record is null ? SlotState.Absent : SlotState.Present;
            slot.Record = record;
            slot.Chances = LoadedChances;
            Bytes += slot.Record.Length;
        }
    }

    /// <summary>Adds a record that was read at the start.</summary>
    public void Preload(byte[] tableKey, byte[] record)
    {
        var space = (RecordSpace)tableKey[0];
        Set(space, tableKey.AsSpan(1), record, SlotState.Present);
    }

    /// <summary>Looks at up to <paramref name="visits"/> slots and evicts clean ones that were not used since the last look, until the table is down by <paramref name="wantedBytes"/>.</summary>
    public int Sweep(int visits, long wantedBytes, long writtenSlice)
    {
        var target = Bytes - wantedBytes;
        var seen = 0;
        for (; seen < visits && seen < 4 * _slots.End && Bytes > target; seen++)
        {
            _hand = _hand + 1 < _slots.End ? _hand + 1 : 0;
            ref var slot = ref At(_hand);
            if (slot.State == SlotState.Free || slot.Loads > 0 || slot.Slice > writtenSlice)
            {
                continue;
            }

            if (slot.Chances > 0)
            {
                slot.Chances--;
                continue;
            }

            Evict(_hand);
        }

        return seen;
    }

    /// <summary>Frees a slot that only says "removed", once that is on the disk and the table is complete without it.</summary>
    public void ForgetRemoved(int index, long slice)
    {
        ref var slot = ref At(index);
        if (IsComplete && slot.State == SlotState.Absent && slot.Slice == slice && slot.Loads == 0)
        {
            Evict(index);
        }
    }

    private static int HashOf(RecordSpace space, ReadOnlySpan<byte> key) => HashOf(space, KeyHash.Of(key));

    private static int HashOf(RecordSpace space, int keyHash) => keyHash ^ ((int)space * 0x2545_F491);

    private int IndexOf(RecordSpace space, ReadOnlySpan<byte> key, int hash)
    {
        for (var probe = _index.Of(hash); probe.Next(out var index);)
        {
            var found = At(index).Key.AsSpan();
            if (found[0] == (byte)space && found[1..].SequenceEqual(key))
            {
                return index;
            }
        }

        return None;
    }

    private int Add(byte[] tableKey, int hash)
    {
        var index = _slots.Take();
        At(index) = new TableSlot { Key = tableKey, Hash = hash };
        _index.Add(hash, index);
        Bytes += OverheadBytes + tableKey.Length;
        return index;
    }

    private void Evict(int index)
    {
        ref var slot = ref At(index);
        if (slot.State == SlotState.Present)
        {
            IsComplete = false;
        }

        _index.Remove(slot.Hash, index);
        Bytes -= OverheadBytes + slot.Key!.Length + slot.Record.Length;
        _slots.Give(index);
    }
}
